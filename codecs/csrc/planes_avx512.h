// BF16 split and join with AVX-512 VBMI2: what the vectoriser leaves on the table. Included by rans_avx512.cpp only.
#pragma once

#include <immintrin.h>

#include "planes_loops.h"

namespace freebits {
namespace {

/// 64 BF16 elements a step, in whole output lines. kPastCache: written around the cache, which saves reading the lines first
/// and keeps the decoder's working set where it is; slower if somebody reads the output next.
template <bool kPastCache>
void join_bf16_lines(const uint8_t* const* planes, size_t n, uint8_t* out) {
    const size_t misaligned = -reinterpret_cast<uintptr_t>(out) % 64;
    const size_t head = misaligned % 2 ? n : misaligned / 2 < n ? misaligned / 2 : n;
    join_bf16(planes, head, out);
    const uint8_t *e = planes[0] + head, *s = planes[1] + head;
    uint8_t* line = out + 2 * head;
    size_t left = n - head;
    for (; left >= 64; left -= 64, e += 64, s += 64, line += 128) {
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
    const uint8_t* const rest[2] = {e, s};
    join_bf16(rest, left, line);
}

/// Indices of the low and of the high bytes of 64 words in two registers.
struct ByteDeal {
    __m512i low, high;
    ByteDeal() {
        alignas(64) uint8_t index[2][64];
        for (int i = 0; i < 64; ++i) {
            index[0][i] = static_cast<uint8_t>(2 * i);
            index[1][i] = static_cast<uint8_t>(2 * i + 1);
        }
        low = _mm512_load_si512(index[0]);
        high = _mm512_load_si512(index[1]);
    }
};

void split_bf16_lines(const uint8_t* in, size_t n, uint8_t* const* planes) {
    const ByteDeal deal;
    uint8_t *e = planes[0], *s = planes[1];
    size_t left = n;
    for (; left >= 64; left -= 64, in += 128, e += 64, s += 64) {
        const __m512i a = _mm512_loadu_si512(in), b = _mm512_loadu_si512(in + 64);
        const __m512i first = _mm512_shldi_epi16(a, a, 1), second = _mm512_shldi_epi16(b, b, 1);
        _mm512_storeu_si512(e, _mm512_permutex2var_epi8(first, deal.high, second));
        _mm512_storeu_si512(s, _mm512_permutex2var_epi8(first, deal.low, second));
    }
    uint8_t* const rest[2] = {e, s};
    split_bf16(in, left, rest);
}

}  // namespace
}  // namespace freebits
