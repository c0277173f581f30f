// Counting bytes with AVX-512: few different ones are faster compared for than looked up. Included by rans_avx512.cpp only.
#pragma once

#include <immintrin.h>

#include "count_loops.h"

namespace freebits {
namespace {

void count_bytes_avx512(const uint8_t* data, size_t nbytes, Histogram& h) {
    constexpr int kFewBytes = 64;
    constexpr size_t kVector = 64;
    const ByteRange range = range_of(data, nbytes);
    const size_t vectors = range.last - range.first < kFewBytes ? nbytes / kVector : 0, counted = vectors * kVector;
    for (int s = range.first; vectors && s <= range.last; ++s) {
        const __m512i byte = _mm512_set1_epi8(static_cast<char>(s));
        uint64_t times = 0;
        for (size_t i = 0; i < counted; i += kVector)
            times += static_cast<uint64_t>(_mm_popcnt_u64(_mm512_cmpeq_epi8_mask(_mm512_loadu_si512(data + i), byte)));
        h.count[s] += static_cast<uint32_t>(times);
    }
    count_one_by_one(data + counted, nbytes - counted, range, h);
    widen(h, range, nbytes);
}

}  // namespace
}  // namespace freebits
