// Steps of BF16 split and join with AVX2. Included by rans_avx2.cpp only.
#pragma once

#include "planes_beside.h"
#include "vectors_avx2.h"

namespace freebits {
namespace {

/// kPastCache: written around the cache, which saves reading the lines first and keeps the decoder's working set where it
/// is; slower if somebody reads the output next.
template <bool kPastCache>
struct Bf16JoinStep {
    static void join(const uint8_t* e, const uint8_t* s, uint8_t* line) {
        for (int half = 0; half < 2; ++half, line += 64) {
            const __m256i e8 = load256(e + 32 * half), s8 = load256(s + 32 * half);
            const __m256i a = rotr1(_mm256_unpacklo_epi8(s8, e8)), b = rotr1(_mm256_unpackhi_epi8(s8, e8));
            put(line, _mm256_permute2x128_si256(a, b, 0x20));
            put(line + 32, _mm256_permute2x128_si256(a, b, 0x31));
        }
    }

private:
    static __m256i rotr1(__m256i words) {
        return _mm256_or_si256(_mm256_srli_epi16(words, 1), _mm256_slli_epi16(words, 15));
    }
    static void put(uint8_t* to, __m256i value) {
        if constexpr (kPastCache)
            _mm256_stream_si256(reinterpret_cast<__m256i*>(to), value);
        else
            _mm256_store_si256(reinterpret_cast<__m256i*>(to), value);
    }
};

struct Bf16SplitStep {
    static void split(const uint8_t* in, uint8_t* e, uint8_t* s) {
        for (int half = 0; half < 2; ++half) {
            const __m256i a = rotl1(load256(in + 64 * half)), b = rotl1(load256(in + 64 * half + 32));
            store256(e + 32 * half, pack_words(high_bytes(a), high_bytes(b)));
            store256(s + 32 * half, pack_words(low_bytes(a), low_bytes(b)));
        }
    }

private:
    static __m256i rotl1(__m256i words) {
        return _mm256_or_si256(_mm256_add_epi16(words, words), _mm256_srli_epi16(words, 15));
    }
};

/// The crc instruction waits for the one before, but here nobody waits for it.
class CopyStep {
public:
    void begin(const uint8_t* from, uint8_t* to, uint32_t crc) {
        crc_ = ~crc;
        next(from, to);
    }
    void next(const uint8_t* from, uint8_t* to) {
        for (int at = 0; at < kNbytes; at += 32) _mm256_stream_si256(reinterpret_cast<__m256i*>(to + at), load256(from + at));
        for (int at = 0; at < kNbytes; at += 8) crc_ = _mm_crc32_u64(crc_, load<uint64_t>(from + at));
    }
    uint32_t crc() const { return ~static_cast<uint32_t>(crc_); }

private:
    static constexpr int kNbytes = 128;
    uint64_t crc_ = 0;
};

}  // namespace
}  // namespace freebits
