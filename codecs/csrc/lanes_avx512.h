// States of a stream, and tables, in vector registers. Included by rans_avx512.cpp only.
//
// A state is held as two byte vectors, its low and high bytes in lane order. The low bytes are then the slots as they
// stand, "fell below 2^8" is "high byte is zero", and taking a byte in is a blend. Products need 16 bits: even and odd
// lanes are widened apart and packed again.
#pragma once

#include <immintrin.h>

#include "rans_kernel.h"

namespace freebits {
namespace {

struct Lanes {
    __m512i low, high;
};

inline __m512i low_bytes() { return _mm512_set1_epi16(0x00FF); }

constexpr int kSelect = 0xCA;  // mask ? first : second

/// Bytes of `even` and `odd` 16-bit lanes back into lane order: low halves and high halves.
inline Lanes pack(__m512i even, __m512i odd) {
    return {_mm512_ternarylogic_epi64(low_bytes(), even, _mm512_slli_epi16(odd, 8), kSelect),
            _mm512_ternarylogic_epi64(low_bytes(), _mm512_srli_epi16(even, 8), odd, kSelect)};
}
/// The same for words below 256.
inline __m512i pack_bytes(__m512i even, __m512i odd) { return _mm512_or_si512(even, _mm512_slli_epi16(odd, 8)); }

inline __m512i even_words(__m512i bytes) { return _mm512_and_si512(bytes, low_bytes()); }
inline __m512i odd_words(__m512i bytes) { return _mm512_srli_epi16(bytes, 8); }
inline __m512i even_words(Lanes x) {
    return _mm512_ternarylogic_epi64(low_bytes(), x.low, _mm512_slli_epi16(x.high, 8), kSelect);
}
inline __m512i odd_words(Lanes x) {
    return _mm512_ternarylogic_epi64(low_bytes(), _mm512_srli_epi16(x.low, 8), x.high, kSelect);
}

/// state[64] as 16-bit words in lane order <-> byte vectors.
inline Lanes load_states(const uint16_t* state) {
    const __m512i a = _mm512_loadu_si512(state), b = _mm512_loadu_si512(state + 32);
    const auto join = [](__m256i x, __m256i y) { return _mm512_inserti64x4(_mm512_castsi256_si512(x), y, 1); };
    return {join(_mm512_cvtepi16_epi8(a), _mm512_cvtepi16_epi8(b)),
            join(_mm512_cvtepi16_epi8(_mm512_srli_epi16(a, 8)), _mm512_cvtepi16_epi8(_mm512_srli_epi16(b, 8)))};
}
inline void store_states(uint16_t* state, Lanes x) {
    const auto widen = [](__m512i low, __m512i high, int half) {
        const __m256i l = half ? _mm512_extracti64x4_epi64(low, 1) : _mm512_castsi512_si256(low);
        const __m256i h = half ? _mm512_extracti64x4_epi64(high, 1) : _mm512_castsi512_si256(high);
        return _mm512_or_si512(_mm512_cvtepu8_epi16(l), _mm512_slli_epi16(_mm512_cvtepu8_epi16(h), 8));
    };
    _mm512_storeu_si512(state, widen(x.low, x.high, 0));
    _mm512_storeu_si512(state + 32, widen(x.low, x.high, 1));
}

/// 256 bytes in four registers, indexed by bytes.
struct ByteTable {
    __m512i quarter[4];
    explicit ByteTable(const uint8_t* table) {
        for (int q = 0; q < 4; ++q) quarter[q] = _mm512_loadu_si512(table + 64 * q);
    }
    __m512i operator[](__m512i index) const {
        const __m512i lower = _mm512_permutex2var_epi8(quarter[0], index, quarter[1]);
        const __m512i upper = _mm512_permutex2var_epi8(quarter[2], index, quarter[3]);
        return _mm512_mask_mov_epi8(lower, _mm512_movepi8_mask(index), upper);
    }
};

uint64_t groups_with_escapes(const TileEscapes& escapes, size_t group_count) {
    uint64_t groups = 0;
    for (size_t g = 0; g < kTileGroups; g += 8) {
        const __m512i lanes = _mm512_loadu_si512(escapes.lanes + g);
        groups |= static_cast<uint64_t>(_mm512_test_epi64_mask(lanes, lanes)) << g;
    }
    return _bzhi_u64(groups, static_cast<unsigned>(group_count));
}

}  // namespace
}  // namespace freebits
