// Moving the values of escapes with AVX-512 VBMI2: those of a group at once. Included by rans_avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "escape_loops.h"

namespace freebits {
namespace {

inline __mmask64 lowest(unsigned count) { return _bzhi_u64(~0ull, count); }

uint8_t* gather_escapes_avx512(const uint8_t* tile, const TileEscapes& escapes, uint8_t* end) {
    uint8_t values[kTile + kLanes], *at = values;
    for (uint64_t groups = escapes.groups; groups;) {
        const size_t g = take_lowest(groups);
        const __m512i group = _mm512_loadu_si512(tile + g * kLanes);
        _mm512_storeu_si512(at, _mm512_maskz_compress_epi8(escapes.lanes[g], group));
        at += _mm_popcnt_u64(escapes.lanes[g]);
    }
    const size_t count = static_cast<size_t>(at - values);
    std::memcpy(end - count, values, count);
    return end - count;
}

size_t scatter_escapes_avx512(uint8_t* tile, const TileEscapes& escapes, const uint8_t* values, size_t left) {
    size_t taken = 0;
    for (uint64_t groups = escapes.groups; groups;) {
        const size_t g = take_lowest(groups);
        const auto count = static_cast<unsigned>(_mm_popcnt_u64(escapes.lanes[g]));
        if (count > left - taken) return left + 1;
        const __m512i next = _mm512_maskz_loadu_epi8(lowest(count), values + taken);
        uint8_t* group = tile + g * kLanes;
        _mm512_storeu_si512(group, _mm512_mask_expand_epi8(_mm512_loadu_si512(group), escapes.lanes[g], next));
        taken += count;
    }
    return taken;
}

}  // namespace
}  // namespace freebits
