// Encoding a tile with AVX2. Included by rans_avx2.cpp only.
#pragma once

#include "lanes_avx2.h"
#include "planes_avx2.h"
#include "rans_groups.h"
#include "renormalise_avx2.h"
#include "search_avx2.h"

namespace freebits {
namespace {

/// Low and high bytes of the reciprocals.
struct ReciprocalBytes {
    uint8_t low[kMaxSymbols], high[kMaxSymbols];
    explicit ReciprocalBytes(const uint16_t* reciprocal) {
        for (int i = 0; i < kMaxSymbols; ++i) {
            low[i] = static_cast<uint8_t>(reciprocal[i]);
            high[i] = static_cast<uint8_t>(reciprocal[i] >> 8);
        }
    }
};

template <int kBits, class Rank>
struct EncodeTables {
    Rank rank_of_symbol;
    Table<kBits> freq, start, reciprocal_low, reciprocal_high;
    __m256i escape_rank;
    explicit EncodeTables(const RansModel& m) : EncodeTables(m, ReciprocalBytes(m.reciprocal)) {}

private:
    EncodeTables(const RansModel& m, const ReciprocalBytes& reciprocal)
        : rank_of_symbol(m),
          freq(m.freq),
          start(m.start),
          reciprocal_low(reciprocal.low),
          reciprocal_high(reciprocal.high),
          escape_rank(everywhere(m.has_escape ? m.entry_count - 1 : -1)) {}
};

struct Quotient {
    __m256i quotient, remainder, right;  // 16-bit words; right: the quotient is, else it is one too small
};
/// x < 256 * freq, so the quotient fits a byte. The reciprocal is rounded down: the quotient comes out at most one too small.
inline Quotient divide(__m256i x, __m256i freq, __m256i reciprocal) {
    const __m256i quotient = _mm256_mulhi_epu16(x, reciprocal);
    const __m256i remainder = _mm256_sub_epi16(x, _mm256_mullo_epi16(quotient, freq));
    const __m256i least = _mm256_min_epu16(remainder, _mm256_sub_epi16(remainder, freq));
    return {quotient, least, _mm256_cmpeq_epi16(remainder, least)};
}

/// x -> (x / freq) * 256 + x % freq + start: the quotient is the new high byte.
template <class Tables>
inline State push(const Tables& t, State x, __m256i rank, __m256i freq) {
    const __m256i r_low = t.reciprocal_low[rank], r_high = t.reciprocal_high[rank], zero = _mm256_setzero_si256();
    const Quotient a = divide(_mm256_unpacklo_epi8(x.low, x.high), _mm256_unpacklo_epi8(freq, zero),
                              _mm256_unpacklo_epi8(r_low, r_high));
    const Quotient b = divide(_mm256_unpackhi_epi8(x.low, x.high), _mm256_unpackhi_epi8(freq, zero),
                              _mm256_unpackhi_epi8(r_low, r_high));
    const __m256i one_or_none = _mm256_add_epi8(_mm256_packs_epi16(a.right, b.right), everywhere(1));
    return {_mm256_add_epi8(_mm256_packus_epi16(a.remainder, b.remainder), t.start[rank]),
            _mm256_add_epi8(_mm256_packus_epi16(a.quotient, b.quotient), one_or_none)};
}

/// One group of bytes onto the states; returns how many bytes were given, below `out`.
template <class Tables>
inline size_t encode_group(const Tables& t, uint8_t* state, const uint8_t* in, uint8_t* out, uint64_t& escaped) {
    const __m256i byte[2] = {load256(in), load256(in + kHalf)};
    const __m256i low[2] = {load256(state), load256(state + kHalf)};
    __m256i rank[2], is_escape[2], full[2];
    t.rank_of_symbol(byte, rank);
    for (int h = 0; h < 2; ++h) is_escape[h] = _mm256_cmpeq_epi8(rank[h], t.escape_rank);
    escaped = bits(is_escape[0], is_escape[1]);
    for (int h = 0; h < 2; ++h) {
        const __m256i high = load256(state + kLanes + kHalf * h), freq = t.freq[rank[h]];
        full[h] = _mm256_cmpeq_epi8(_mm256_max_epu8(high, freq), high);
        const State x = {_mm256_blendv_epi8(low[h], high, full[h]), _mm256_andnot_si256(full[h], high)};
        const State y = push(t, x, rank[h], freq);
        store256(state + kHalf * h, y.low);
        store256(state + kLanes + kHalf * h, y.high);
    }
    const size_t given = give_bytes(bits(full[1]), low[1], out);
    return given + give_bytes(bits(full[0]), low[0], out - given);
}

template <class Tables, class Beside>
void encode_tile_with(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending,
                      PendingCopy& copy) {
    Beside beside(pending);
    LinesPastCache<CopyStep> copying(copy);
    const Tables tables(coder.model);
    const SplitStates states(coder);
    const auto group = [&](uint16_t* state, const uint8_t* from, uint8_t* out, uint64_t& escaped) {
        const size_t given = encode_group(tables, bytes_of(state), from, out, escaped);
        if (beside.more()) beside.step();
        if (copying.more()) copying.step();
        return given;
    };
    encode_groups(coder, group_count, in, escapes, group);
}

template <int kBits, class Beside>
void encode_tile_of(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending,
                    PendingCopy& copy) {
    const auto encode = RankByDistance::suits(coder.model)
                            ? encode_tile_with<EncodeTables<kBits, RankByDistance>, Beside>
                            : encode_tile_with<EncodeTables<kBits, RankBySearch<kBits>>, Beside>;
    encode(coder, group_count, in, escapes, pending, copy);
}

template <class Beside>
void encode_tile_beside(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes,
                        PendingSplit& pending, PendingCopy& copy) {
    const int entries = coder.model.entry_count;
    if (entries <= 16) return encode_tile_of<4, Beside>(coder, group_count, in, escapes, pending, copy);
    if (entries <= 32) return encode_tile_of<5, Beside>(coder, group_count, in, escapes, pending, copy);
    encode_tile_of<6, Beside>(coder, group_count, in, escapes, pending, copy);
}

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending,
                 PendingCopy& copy) {
    with_split_beside<Bf16SplitStep>(pending, [&]<class Beside>() {
        encode_tile_beside<Beside>(coder, group_count, in, escapes, pending, copy);
    });
}

}  // namespace
}  // namespace freebits
