// Encoding a tile with AVX-512 VBMI2. Included by rans_avx512.cpp only.
#pragma once

#include <immintrin.h>

#include <algorithm>

#include "lanes_avx512.h"
#include "planes_avx512.h"

namespace freebits {
namespace {

/// Where in a table of 64 a byte's entry is: at its rank, whatever the bytes.
class ByRank {
public:
    explicit ByRank(const RansModel& m) : rank_of_symbol_(m.rank_of_symbol) {}
    __m512i operator[](__m512i symbols) const { return rank_of_symbol_[symbols]; }
    /// The rank of the entry at each place of the table.
    static __m512i ranks(const RansModel&) {
        alignas(64) static constexpr auto kRanks = [] {
            struct { uint8_t at[kMaxSymbols]; } ranks{};
            for (int i = 0; i < kMaxSymbols; ++i) ranks.at[i] = static_cast<uint8_t>(i);
            return ranks;
        }();
        return _mm512_load_si512(kRanks.at);
    }

private:
    ByteTable rank_of_symbol_;
};

/// At its distance from the first entry's byte, where all are near, as exponents mostly are; the last place is the escape's.
class ByDistance {
public:
    static bool suits(const RansModel& m) {
        return m.symbol[m.entry_count - m.has_escape - 1] - m.symbol[0] < kMaxSymbols - 1;
    }
    explicit ByDistance(const RansModel& m) : first_(_mm512_set1_epi8(static_cast<char>(m.symbol[0]))) {}
    __m512i operator[](__m512i symbols) const {
        return _mm512_min_epu8(_mm512_sub_epi8(symbols, first_), _mm512_set1_epi8(kMaxSymbols - 1));
    }
    static __m512i ranks(const RansModel& m) {
        const __mmask64 bytes = _bzhi_u64(~0ull, std::min(kMaxSymbols - 1u, 256u - m.symbol[0]));
        const __m512i escape = _mm512_set1_epi8(static_cast<char>(m.entry_count - 1));
        return _mm512_mask_loadu_epi8(escape, bytes, m.rank_of_symbol + m.symbol[0]);
    }

private:
    __m512i first_;
};

template <class Place>
struct EncodeTables {
    Place place;
    __m512i freq, start, escape_start;
    __mmask64 may_escape;
    Lanes reciprocal;
    explicit EncodeTables(const RansModel& m)
        : place(m),
          escape_start(_mm512_set1_epi8(static_cast<char>(m.start[m.entry_count - 1]))),
          may_escape(m.has_escape ? ~0ull : 0) {
        const __m512i ranks = Place::ranks(m);
        const Lanes reciprocal_of_rank = load_states(m.reciprocal);
        freq = _mm512_permutexvar_epi8(ranks, _mm512_loadu_si512(m.freq));
        start = _mm512_permutexvar_epi8(ranks, _mm512_loadu_si512(m.start));
        reciprocal.low = _mm512_permutexvar_epi8(ranks, reciprocal_of_rank.low);
        reciprocal.high = _mm512_permutexvar_epi8(ranks, reciprocal_of_rank.high);
    }
};

/// Quotient and remainder of 16-bit lanes; x < 256 * freq, so both fit a byte.
/// The reciprocal is rounded down, which leaves the quotient at most one too small.
struct Division {
    __m512i quotient, remainder;
    Division(__m512i x, __m512i freq, __m512i reciprocal) {
        quotient = _mm512_mulhi_epu16(x, reciprocal);
        remainder = _mm512_sub_epi16(x, _mm512_mullo_epi16(quotient, freq));
        const __mmask32 short_by_one = _mm512_cmpge_epu16_mask(remainder, freq);
        quotient = _mm512_mask_add_epi16(quotient, short_by_one, quotient, _mm512_set1_epi16(1));
        remainder = _mm512_mask_sub_epi16(remainder, short_by_one, remainder, freq);
    }
};

/// One group: x -> (x / freq) * 256 + x % freq + start; the byte start + remainder does not overflow.
template <class Place>
inline unsigned encode_group(const EncodeTables<Place>& t, Lanes& x, __m512i symbols, uint8_t* out_end,
                             uint64_t* escapes) {
    const __m512i place = t.place[symbols];
    const __m512i freq = _mm512_permutexvar_epi8(place, t.freq), start = _mm512_permutexvar_epi8(place, t.start);
    const Lanes reciprocal = {_mm512_permutexvar_epi8(place, t.reciprocal.low),
                              _mm512_permutexvar_epi8(place, t.reciprocal.high)};
    *escapes = _mm512_mask_cmpeq_epi8_mask(t.may_escape, start, t.escape_start);
    const __mmask64 full = _mm512_cmpge_epu8_mask(x.high, freq);
    const unsigned given = static_cast<unsigned>(_mm_popcnt_u64(full));
    _mm512_mask_storeu_epi8(out_end - given, _bzhi_u64(~0ull, given), _mm512_maskz_compress_epi8(full, x.low));
    const Lanes rest = {_mm512_mask_mov_epi8(x.low, full, x.high),
                        _mm512_mask_mov_epi8(x.high, full, _mm512_setzero_si512())};
    const Division even(even_words(rest), even_words(freq), even_words(reciprocal));
    const Division odd(odd_words(rest), odd_words(freq), odd_words(reciprocal));
    x.low = _mm512_add_epi8(pack_bytes(even.remainder, odd.remainder), start);
    x.high = pack_bytes(even.quotient, odd.quotient);
    return given;
}

template <int K, class Place, class Beside>
void encode_tile_of(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending,
                    PendingCopy& copy) {
    Beside beside(pending);
    LinesPastCache<CopyStep> copying(copy);
    const EncodeTables<Place> tables(coder.model);
    Lanes x[K];
    uint8_t* out[K];
    for (int k = 0; k < K; ++k) {
        x[k] = load_states(coder.stream[k].state);
        out[k] = coder.stream[k].out;
    }
    size_t g = group_count;
    const auto one = [&](size_t group, int k) {
        out[k] -= encode_group(tables, x[k], _mm512_loadu_si512(in + group * kLanes), out[k], escapes.lanes + group);
        if (beside.more()) beside.step();
        if (copying.more()) copying.step();
    };
    for (; g % K != 0; --g) one(g - 1, static_cast<int>((g - 1) & (K - 1)));
    for (; g != 0; g -= K)
#pragma GCC unroll 4  // states and places of all streams stay in registers
        for (int k = 0; k < K; ++k) one(g - K + k, k);
    for (int k = 0; k < K; ++k) {
        store_states(coder.stream[k].state, x[k]);
        coder.stream[k].out = out[k];
    }
    escapes.groups = groups_with_escapes(escapes, group_count);
}

template <class Place, class Beside>
void encode_tile_with(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes,
                      PendingSplit& pending, PendingCopy& copy) {
    if (coder.stream_count == 4) return encode_tile_of<4, Place, Beside>(coder, group_count, in, escapes, pending, copy);
    if (coder.stream_count == 2) return encode_tile_of<2, Place, Beside>(coder, group_count, in, escapes, pending, copy);
    encode_tile_of<1, Place, Beside>(coder, group_count, in, escapes, pending, copy);
}

template <class Beside>
void encode_tile_beside(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes,
                        PendingSplit& pending, PendingCopy& copy) {
    if (ByDistance::suits(coder.model))
        return encode_tile_with<ByDistance, Beside>(coder, group_count, in, escapes, pending, copy);
    encode_tile_with<ByRank, Beside>(coder, group_count, in, escapes, pending, copy);
}

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending,
                 PendingCopy& copy) {
    with_split_beside<Bf16SplitStep>(pending, [&]<class Beside>() {
        encode_tile_beside<Beside>(coder, group_count, in, escapes, pending, copy);
    });
}

}  // namespace
}  // namespace freebits
