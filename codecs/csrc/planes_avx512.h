// BF16 split and join with AVX-512 VBMI2: what the vectoriser leaves on the table. Included by rans_avx512.cpp only.
#pragma once

#include <immintrin.h>

#include "crc32c_fold.h"
#include "planes_beside.h"

namespace freebits {
namespace {

/// kPastCache: written around the cache, which saves reading the lines first and keeps the decoder's working set where it
/// is; slower if somebody reads the output next.
template <bool kPastCache>
struct Bf16JoinStep {
    static void join(const uint8_t* e, const uint8_t* s, uint8_t* line) {
        for (int half = 0; half < 2; ++half) {
            const __m256i e8 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(e + 32 * half));
            const __m256i s8 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(s + 32 * half));
            const __m512i word = _mm512_or_si512(_mm512_slli_epi16(_mm512_cvtepu8_epi16(e8), 8), _mm512_cvtepu8_epi16(s8));
            const __m512i value = _mm512_shrdi_epi16(word, word, 1);
            if constexpr (kPastCache)
                _mm512_stream_si512(reinterpret_cast<__m512i*>(line + 64 * half), value);
            else
                _mm512_store_si512(line + 64 * half, value);
        }
    }
};

/// Bytes of a line are brought to its halves and stored half by half, which takes half the shuffles of whole registers.
class Bf16SplitStep {
public:
    Bf16SplitStep() {
        alignas(64) static constexpr auto kBytes = [] {
            struct { uint8_t at[64]; } bytes{};
            for (int i = 0; i < 64; ++i) bytes.at[i] = static_cast<uint8_t>(2 * (i % 32) + i / 32);
            return bytes;
        }();
        low_then_high_ = _mm512_loadu_si512(kBytes.at);
    }
    void split(const uint8_t* in, uint8_t* e, uint8_t* s) const {
        for (int half = 0; half < 2; ++half) {
            const __m512i words = _mm512_loadu_si512(in + 64 * half);
            const __m512i bytes = _mm512_permutexvar_epi8(low_then_high_, _mm512_shldi_epi16(words, words, 1));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(s + 32 * half), _mm512_castsi512_si256(bytes));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(e + 32 * half), _mm512_extracti64x4_epi64(bytes, 1));
        }
    }

private:
    __m512i low_then_high_;
};

class CopyStep {
public:
    void begin(const uint8_t* from, uint8_t* to, uint32_t crc) {
        x_[0] = continued(crc, copy_line(from, to));
        x_[1] = copy_line(from + 64, to + 64);
    }
    void next(const uint8_t* from, uint8_t* to) {
        for (int line = 0; line < 2; ++line)
            x_[line] = fold(x_[line], multiplier<2 * 512>(), copy_line(from + 64 * line, to + 64 * line));
    }
    uint32_t crc() const { return crc_of(fold(x_[0], multiplier<512>(), x_[1])); }

private:
    static __m512i copy_line(const uint8_t* from, uint8_t* to) {
        const __m512i line = _mm512_loadu_si512(from);
        _mm512_stream_si512(reinterpret_cast<__m512i*>(to), line);
        return line;
    }
    __m512i x_[2]{};
};

void join_bf16_avx512(const uint8_t* const* planes, size_t n, uint8_t* out) {
    PendingJoin pending{Layout::kBf16, false, {planes[0], planes[1]}, out, n};
    do_steps<Bf16Lines<Bf16JoinStep<false>>>(pending);
    join_bf16(pending.planes, pending.numel, pending.out);
}

void split_bf16_avx512(const uint8_t* in, size_t n, uint8_t* const* planes) {
    PendingSplit pending{Layout::kBf16, in, {planes[0], planes[1]}, n};
    do_steps<Bf16Split<Bf16SplitStep>>(pending);
    split_bf16(pending.in, pending.numel, pending.planes);
}

}  // namespace
}  // namespace freebits
