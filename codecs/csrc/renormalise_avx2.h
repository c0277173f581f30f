// Bytes of a stream to and from the lanes that take or give one, with AVX2, which cannot expand or compress.
// Included by rans_avx2.cpp only.
#pragma once

#include "lane_shuffles.h"
#include "vectors_avx2.h"

namespace freebits {
namespace {

template <int kBytes>
inline __m256i plus_shifted(__m256i bytes) {
    return _mm256_add_epi8(bytes, _mm256_slli_epi64(bytes, 8 * kBytes));
}
/// The next bytes of the stream for the lanes of a vector where `hungry` is all ones; anything for the others. A lane takes
/// the byte whose number is that of hungry lanes before it; counting starts anew with the second 16 lanes, at `second`.
inline __m256i take_bytes(__m256i hungry, const uint8_t* first, const uint8_t* second) {
    const __m256i minus_in_eight = plus_shifted<4>(plus_shifted<2>(plus_shifted<1>(hungry)));
    const __m256i last_of_first_eight = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0707070707070707, -1));
    const __m256i minus_count = _mm256_add_epi8(minus_in_eight, _mm256_shuffle_epi8(minus_in_eight, last_of_first_eight));
    const __m256i number = _mm256_xor_si256(minus_count, everywhere(0xFF));  // ~(-n) is n - 1
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first));
    const __m128i more = _mm_loadu_si128(reinterpret_cast<const __m128i*>(second));
    return _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(bytes), more, 1), number);
}

inline __m128i load_eight(const uint8_t* from) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)); }
inline __m128i load_eights(const uint8_t* low, const uint8_t* high) {
    return _mm_unpacklo_epi64(load_eight(low), load_eight(high));
}
inline void store_low_eight(uint8_t* to, __m128i v) { _mm_storel_epi64(reinterpret_cast<__m128i*>(to), v); }
inline void store_high_eight(uint8_t* to, __m128i v) { store_low_eight(to, _mm_unpackhi_epi64(v, v)); }

/// Bytes of the 32 lanes in which bit i of `full` is set, below `out`; returns their number. Each eight is written
/// over the slack of the one above.
inline size_t give_bytes(uint32_t full, __m256i bytes, uint8_t* out) {
    const auto row = [full](int eight) { return kCompressHigh.to[full >> (8 * eight) & 0xFF]; };
    const __m256i in_eight = _mm256_inserti128_si256(_mm256_castsi128_si256(load_eights(row(0), row(1))),
                                                     load_eights(row(2), row(3)), 1);
    const __m256i second_eights = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0808080808080808, 0));
    const __m256i packed = _mm256_shuffle_epi8(bytes, _mm256_add_epi8(in_eight, second_eights));
    const __m128i lower = _mm256_castsi256_si128(packed), upper = _mm256_extracti128_si256(packed, 1);
    store_high_eight(out - 8, upper);
    store_low_eight(out - 8 - count(full >> 24), upper);
    store_high_eight(out - 8 - count(full >> 16), lower);
    store_low_eight(out - 8 - count(full >> 8), lower);
    return count(full);
}

}  // namespace
}  // namespace freebits
