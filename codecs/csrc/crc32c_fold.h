// CRC-32C by carry-less multiplication: 128-bit blocks are folded onto later ones. Included by files that are compiled with
// VPCLMULQDQ and AVX-512.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace freebits {
namespace {

/// reflect(x^n mod P) << 1 for the CRC-32C polynomial: what a fold over n bits multiplies by.
constexpr uint64_t fold_constant(int n) {
    uint64_t r = 1;
    for (int i = 0; i < n; ++i) r = r << 1 ^ (r >> 31 & 1 ? 0x11EDC6F41u : 0);
    uint64_t reflected = 0;
    for (int bit = 0; bit < 32; ++bit) reflected |= (r >> bit & 1) << (31 - bit);
    return reflected << 1;
}

/// Multiplier that moves a 128-bit block `bits` further along the message.
template <int kBits>
inline __m512i multiplier() {
    constexpr uint64_t low = fold_constant(kBits + 32), high = fold_constant(kBits - 32);
    return _mm512_broadcast_i32x4(_mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low)));
}
inline __m512i fold(__m512i x, __m512i by, __m512i next) {
    constexpr int kXor3 = 0x96;
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00), _mm512_clmulepi64_epi128(x, by, 0x11), next,
                                     kXor3);
}

/// The first 64 bytes of what continues `crc`.
inline __m512i continued(uint32_t crc, __m512i bytes) {
    return _mm512_xor_si512(bytes, _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~crc))));
}

/// Four 128-bit blocks of one register into one.
inline __m128i fold_lanes(__m512i x) {
    const __m128i by = _mm512_castsi512_si128(multiplier<128>());
    __m128i sum = _mm512_castsi512_si128(x);
    const __m128i rest[3] = {_mm512_extracti32x4_epi32(x, 1), _mm512_extracti32x4_epi32(x, 2),
                             _mm512_extracti32x4_epi32(x, 3)};
    for (const __m128i block : rest)
        sum = _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(sum, by, 0x00), _mm_clmulepi64_si128(sum, by, 0x11)), block);
    return sum;
}

/// The CRC of everything that was folded into the last 64 bytes.
inline uint32_t crc_of(__m512i folded) {
    const __m128i sum = fold_lanes(folded);
    uint64_t crc = _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(sum)));
    crc = _mm_crc32_u64(crc, static_cast<uint64_t>(_mm_extract_epi64(sum, 1)));
    return ~static_cast<uint32_t>(crc);
}

}  // namespace
}  // namespace freebits
