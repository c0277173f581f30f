// BF16 split and join with AVX-512 VBMI2: what the vectoriser leaves on the table. Included by rans_avx512.cpp only.
#pragma once

#include <immintrin.h>

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

class Bf16SplitStep {
public:
    Bf16SplitStep() {
        alignas(64) static constexpr auto kBytes = [] {
            struct { uint8_t low[64], high[64]; } bytes{};  // of 64 words in two registers
            for (int i = 0; i < 64; ++i) {
                bytes.low[i] = static_cast<uint8_t>(2 * i);
                bytes.high[i] = static_cast<uint8_t>(2 * i + 1);
            }
            return bytes;
        }();
        low_ = _mm512_loadu_si512(kBytes.low);
        high_ = _mm512_loadu_si512(kBytes.high);
    }
    void split(const uint8_t* in, uint8_t* e, uint8_t* s) const {
        const __m512i a = _mm512_loadu_si512(in), b = _mm512_loadu_si512(in + 64);
        const __m512i first = _mm512_shldi_epi16(a, a, 1), second = _mm512_shldi_epi16(b, b, 1);
        _mm512_storeu_si512(e, _mm512_permutex2var_epi8(first, high_, second));
        _mm512_storeu_si512(s, _mm512_permutex2var_epi8(first, low_, second));
    }

private:
    __m512i low_, high_;
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
