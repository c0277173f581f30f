// BF16 split and join with AVX-512 VBMI2: what the vectoriser leaves on the table. Included by rans_avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <algorithm>

#include "planes_loops.h"

namespace freebits {
namespace {

/// A join of BF16, 64 elements a step, in whole output lines. kPastCache: written around the cache, which saves reading
/// the lines first and keeps the decoder's working set where it is; slower if somebody reads the output next.
template <bool kPastCache>
class Bf16Lines {
public:
    explicit Bf16Lines(PendingJoin& pending) : pending_(pending) {
        const size_t misaligned = -reinterpret_cast<uintptr_t>(pending.out) % 64;
        const size_t head = misaligned % 2 ? pending.numel : std::min(misaligned / 2, pending.numel);  // odd: no lines
        join_bf16(pending.planes, head, pending.out);
        e_ = pending.planes[0] + head;
        s_ = pending.planes[1] + head;
        line_ = pending.out + 2 * head;
        left_ = pending.numel - head;
    }
    /// What was done is no longer pending.
    ~Bf16Lines() {
        pending_.planes[0] = e_;
        pending_.planes[1] = s_;
        pending_.out = line_;
        pending_.numel = left_;
    }
    Bf16Lines(const Bf16Lines&) = delete;
    Bf16Lines& operator=(const Bf16Lines&) = delete;

    bool more() const { return left_ >= kElements; }
    void step() {
        __builtin_prefetch(s_ + kAhead);
        for (int half = 0; half < 2; ++half) {
            const __m256i e8 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(e_ + 32 * half));
            const __m256i s8 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(s_ + 32 * half));
            const __m512i word = _mm512_or_si512(_mm512_slli_epi16(_mm512_cvtepu8_epi16(e8), 8), _mm512_cvtepu8_epi16(s8));
            const __m512i value = _mm512_shrdi_epi16(word, word, 1);
            if constexpr (kPastCache)
                _mm512_stream_si512(reinterpret_cast<__m512i*>(line_ + 64 * half), value);
            else
                _mm512_store_si512(line_ + 64 * half, value);
        }
        e_ += kElements;
        s_ += kElements;
        line_ += 2 * kElements;
        left_ -= kElements;
    }

private:
    static constexpr size_t kElements = 64, kAhead = 2048;
    PendingJoin& pending_;
    const uint8_t *e_, *s_;
    uint8_t* line_;
    size_t left_;
};

template <bool kPastCache>
void join_bf16_lines(PendingJoin& pending) {
    for (Bf16Lines<kPastCache> lines(pending); lines.more();) lines.step();
}

void join_bf16_avx512(const uint8_t* const* planes, size_t n, uint8_t* out) {
    PendingJoin pending{Layout::kBf16, false, {planes[0], planes[1]}, out, n};
    join_bf16_lines<false>(pending);
    join_bf16(pending.planes, pending.numel, pending.out);
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
