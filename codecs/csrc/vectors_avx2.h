// Vectors of 32 bytes or 16 words, as the AVX2 files use them. Without linkage, like all that is compiled with flags of its own.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace freebits {
namespace {

inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store256(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline __m256i low_bytes(__m256i words) { return _mm256_and_si256(words, _mm256_set1_epi16(0x00FF)); }
inline __m256i high_bytes(__m256i words) { return _mm256_srli_epi16(words, 8); }
inline __m256i everywhere(int byte) { return _mm256_set1_epi8(static_cast<char>(byte)); }
inline __m256i flip_top_bits(__m256i bytes) { return _mm256_xor_si256(bytes, everywhere(0x80)); }

/// Two vectors of words below 256 as 32 bytes in lane order.
inline __m256i pack_words(__m256i a, __m256i b) { return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xD8); }

/// Bit i: the top bit of byte i.
inline uint32_t bits(__m256i byte_masks) { return static_cast<uint32_t>(_mm256_movemask_epi8(byte_masks)); }
inline size_t count(uint32_t bits) { return static_cast<size_t>(_mm_popcnt_u32(bits)); }

}  // namespace
}  // namespace freebits
