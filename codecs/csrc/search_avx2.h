// Look-ups of 32 bytes at once with AVX2, which has no permutation over more than 16 bytes. Included by rans_avx2.cpp only.
#pragma once

#include "rans_kernel.h"
#include "vectors_avx2.h"

namespace freebits {
namespace {

/// 2^kBits bytes, indexed by bytes below 2^kBits.
template <int kBits>
class Table {
public:
    explicit Table(const uint8_t* bytes) : lower_(bytes), upper_(bytes + (1 << (kBits - 1))) {}
    __m256i operator[](__m256i index) const {
        const __m256i top_bit_first = _mm256_slli_epi16(index, 8 - kBits);  // the only bit of a byte that a blend looks at
        return _mm256_blendv_epi8(lower_[index], upper_[index], top_bit_first);
    }

private:
    Table<kBits - 1> lower_, upper_;
};
template <>
class Table<4> {
public:
    explicit Table(const uint8_t* bytes)
        : row_(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)))) {}
    __m256i operator[](__m256i index) const { return _mm256_shuffle_epi8(row_, index); }

private:
    __m256i row_;
};

/// Where the intervals of a model's entries begin, for comparisons as signed bytes: entry i has what lies above bound[i].
struct Bounds {
    uint8_t bound[kMaxSymbols];
    Bounds(const uint8_t* first, int count) {
        for (int i = 0; i < kMaxSymbols; ++i) bound[i] = static_cast<uint8_t>(i < count ? (first[i] - 1) ^ 0x80 : 0x7F);
    }
};

/// Binary search among 2^kBits entries: which one's interval a byte lies in. A step compares with a bound that a shuffle
/// fetches, so 16 entries take four shuffles' time where a table of 256 bytes would take 16 shuffles.
template <int kBits>
class Search {
public:
    /// Among every stride-th of the bounds.
    explicit Search(const Bounds& bounds, int stride = 1) : above_(bounds, 2 * stride), odd_(Odd(bounds, stride).bound) {}

    /// rank[] of x[], bytes with the top bit flipped. Several vectors at once: each waits for itself at every step.
    template <int kCount>
    void operator()(const __m256i (&x)[kCount], __m256i (&rank)[kCount]) const {
        above_(x, rank);
        __m256i bound[kCount];
        for (int h = 0; h < kCount; ++h) bound[h] = odd_[rank[h]];
        for (int h = 0; h < kCount; ++h)
            rank[h] = _mm256_sub_epi8(_mm256_add_epi8(rank[h], rank[h]), _mm256_cmpgt_epi8(x[h], bound[h]));
    }

private:
    static constexpr int kOddBits = kBits - 1 < 4 ? 4 : kBits - 1;
    struct Odd {
        uint8_t bound[1 << kOddBits] = {};
        Odd(const Bounds& all, int stride) {
            for (int i = 0; i < 1 << (kBits - 1); ++i) bound[i] = all.bound[(2 * i + 1) * stride];
        }
    };
    Search<kBits - 1> above_;
    Table<kOddBits> odd_;
};
template <>
class Search<2> {
public:
    explicit Search(const Bounds& bounds, int stride)
        : first_(everywhere(bounds.bound[stride])),
          second_(everywhere(bounds.bound[2 * stride])),
          third_(everywhere(bounds.bound[3 * stride])) {}
    template <int kCount>
    void operator()(const __m256i (&x)[kCount], __m256i (&rank)[kCount]) const {
        for (int h = 0; h < kCount; ++h) {
            const __m256i upper = _mm256_cmpgt_epi8(x[h], second_);
            const __m256i odd = _mm256_cmpgt_epi8(x[h], _mm256_blendv_epi8(first_, third_, upper));
            rank[h] = _mm256_sub_epi8(_mm256_and_si256(upper, _mm256_set1_epi8(2)), odd);
        }
    }

private:
    __m256i first_, second_, third_;
};

/// Entries of bytes by search; those without one get the escape.
template <int kBits>
class RankBySearch {
public:
    explicit RankBySearch(const RansModel& m)
        : search_(Bounds(m.symbol, m.entry_count - m.has_escape)),
          symbol_(m.symbol),
          escape_(everywhere(m.has_escape ? m.entry_count - 1 : 0)) {}
    template <int kCount>
    void operator()(const __m256i (&byte)[kCount], __m256i (&rank)[kCount]) const {
        __m256i flipped[kCount];
        for (int h = 0; h < kCount; ++h) flipped[h] = flip_top_bits(byte[h]);
        search_(flipped, rank);
        for (int h = 0; h < kCount; ++h)
            rank[h] = _mm256_blendv_epi8(escape_, rank[h], _mm256_cmpeq_epi8(symbol_[rank[h]], byte[h]));
    }

private:
    Search<kBits> search_;
    Table<kBits> symbol_;
    __m256i escape_;
};

/// The same where the entries' bytes follow each other, as exponents mostly do: the escape's rank is the next, and the largest.
class RankByDistance {
public:
    static bool suits(const RansModel& m) {
        const int symbols = m.entry_count - m.has_escape;
        return m.symbol[symbols - 1] - m.symbol[0] == symbols - 1;
    }
    explicit RankByDistance(const RansModel& m) : first_(everywhere(m.symbol[0])), last_(everywhere(m.entry_count - 1)) {}
    template <int kCount>
    void operator()(const __m256i (&byte)[kCount], __m256i (&rank)[kCount]) const {
        for (int h = 0; h < kCount; ++h) rank[h] = _mm256_min_epu8(_mm256_sub_epi8(byte[h], first_), last_);
    }

private:
    __m256i first_, last_;
};

}  // namespace
}  // namespace freebits
