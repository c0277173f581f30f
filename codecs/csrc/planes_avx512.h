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

/// A split of BF16, 64 elements a step.
class Bf16Split {
public:
    explicit Bf16Split(PendingSplit& pending)
        : pending_(pending), in_(pending.in), e_(pending.planes[0]), s_(pending.planes[1]), left_(pending.numel) {
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
    /// What was done is no longer pending.
    ~Bf16Split() {
        pending_.in = in_;
        pending_.planes[0] = e_;
        pending_.planes[1] = s_;
        pending_.numel = left_;
    }
    Bf16Split(const Bf16Split&) = delete;
    Bf16Split& operator=(const Bf16Split&) = delete;

    bool more() const { return left_ >= kElements; }
    void step() {
        for (size_t line = 0; line < 2; ++line) __builtin_prefetch(in_ - kBehind + 64 * line);
        const __m512i a = _mm512_loadu_si512(in_), b = _mm512_loadu_si512(in_ + 64);
        const __m512i first = _mm512_shldi_epi16(a, a, 1), second = _mm512_shldi_epi16(b, b, 1);
        _mm512_storeu_si512(e_, _mm512_permutex2var_epi8(first, high_, second));
        _mm512_storeu_si512(s_, _mm512_permutex2var_epi8(first, low_, second));
        in_ += 2 * kElements;
        e_ += kElements;
        s_ += kElements;
        left_ -= kElements;
    }

private:
    static constexpr size_t kElements = 64;
    static constexpr size_t kBehind = 2 * kTile;  // encoders take the tile before next
    PendingSplit& pending_;
    const uint8_t* in_;
    uint8_t *e_, *s_;
    size_t left_;
    __m512i low_, high_;
};

void split_bf16_avx512(const uint8_t* in, size_t n, uint8_t* const* planes) {
    PendingSplit pending{Layout::kBf16, in, {planes[0], planes[1]}, n};
    for (Bf16Split split(pending); split.more();) split.step();
    split_bf16(pending.in, pending.numel, pending.planes);
}

}  // namespace
}  // namespace freebits
