// Decoding a tile with AVX2. Included by rans_avx2.cpp only.
#pragma once

#include "lanes_avx2.h"
#include "planes_avx2.h"
#include "rans_groups.h"
#include "renormalise_avx2.h"
#include "search_avx2.h"

namespace freebits {
namespace {

template <int kBits>
struct DecodeTables {
    Search<kBits> rank_of_slot;
    Table<kBits> symbol, freq, start;
    __m256i escape;
    explicit DecodeTables(const RansModel& m)
        : rank_of_slot(Bounds(m.start, m.entry_count)),
          symbol(m.symbol),
          freq(m.freq),
          start(m.start),
          escape(everywhere(m.escape_byte)) {}
};

/// freq * high + bias in 16 bits: even and odd lanes apart, then together again.
inline State multiply(__m256i freq, __m256i high, __m256i bias) {
    const __m256i odd_lanes = _mm256_set1_epi16(static_cast<short>(0xFF00));
    const auto odd_times_256 = [odd_lanes](__m256i bytes) { return _mm256_and_si256(bytes, odd_lanes); };
    const __m256i even_product = _mm256_mullo_epi16(low_bytes(freq), low_bytes(high));
    const __m256i odd_product = _mm256_mulhi_epu16(odd_times_256(freq), odd_times_256(high));  // a mask costs less than a shift
    const __m256i even = _mm256_add_epi16(even_product, low_bytes(bias)), odd = _mm256_add_epi16(odd_product, high_bytes(bias));
    return {_mm256_blendv_epi8(even, _mm256_slli_epi16(odd, 8), odd_lanes),
            _mm256_blendv_epi8(high_bytes(even), odd, odd_lanes)};
}

/// K groups of different streams, step by step together so that none waits alone: symbols out, states advanced, `in` moved on.
template <int K, int kBits>
inline void decode_together(const DecodeTables<kBits>& t, uint8_t* const (&state)[K], const uint8_t* (&in)[K], uint8_t* out,
                            uint64_t* escaped) {
    constexpr int kHalves = 2 * K;
    __m256i slot[kHalves], flipped[kHalves], rank[kHalves], is_escape[kHalves], hungry[kHalves];
    State y[kHalves];
    for (int h = 0; h < kHalves; ++h) {
        slot[h] = load256(state[h / 2] + kHalf * (h % 2));
        flipped[h] = flip_top_bits(slot[h]);
    }
    t.rank_of_slot(flipped, rank);
    for (int h = 0; h < kHalves; ++h) {
        const __m256i symbol = t.symbol[rank[h]], bias = _mm256_sub_epi8(slot[h], t.start[rank[h]]);
        store256(out + kHalf * h, symbol);
        is_escape[h] = _mm256_cmpeq_epi8(symbol, t.escape);
        y[h] = multiply(t.freq[rank[h]], load256(state[h / 2] + kLanes + kHalf * (h % 2)), bias);
        hungry[h] = _mm256_cmpeq_epi8(y[h].high, _mm256_setzero_si256());
    }
    for (int k = 0; k < K; ++k) escaped[k] = bits(is_escape[2 * k], is_escape[2 * k + 1]);
    for (int h = 0; h < kHalves; ++h) {
        const int k = h / 2;
        const uint32_t takers = bits(hungry[h]);
        const __m256i bytes = take_bytes(hungry[h], in[k], in[k] + count(takers & 0xFFFF));
        store256(state[k] + kHalf * (h % 2), _mm256_blendv_epi8(y[h].low, bytes, hungry[h]));
        store256(state[k] + kLanes + kHalf * (h % 2), _mm256_blendv_epi8(y[h].high, y[h].low, hungry[h]));
        in[k] += count(takers);
    }
}

/// Whether no load of `group_count` groups can reach past the end, however many bytes they take.
inline bool far_from_end(const RansCoder& coder, size_t group_count) {
    const size_t reach = (group_count / static_cast<size_t>(coder.stream_count) + 1) * kLanes + kGroupReach;
    for (int k = 0; k < coder.stream_count; ++k)
        if (static_cast<size_t>(coder.in_end - coder.stream[k].in) < reach) return false;
    return true;
}

/// The groups that can be decoded in pairs, of two streams each; returns how many these are.
template <int kBits, class Beside>
size_t decode_pairs(const DecodeTables<kBits>& tables, RansCoder& coder, size_t group_count, uint8_t* out,
                    TileEscapes& escapes, Beside& beside) {
    escapes.groups = 0;
    if (coder.stream_count < 2 || !far_from_end(coder, group_count)) return 0;
    size_t g = 0;
    for (; g + 2 <= group_count; g += 2) {
        RansStream* const stream = coder.stream + (g & static_cast<size_t>(coder.stream_count - 1));
        uint8_t* const state[2] = {bytes_of(stream[0].state), bytes_of(stream[1].state)};
        const uint8_t* in[2] = {stream[0].in, stream[1].in};
        decode_together(tables, state, in, out + g * kLanes, escapes.lanes + g);
        for (int k = 0; k < 2; ++k) {
            stream[k].in = in[k];
            escapes.groups |= static_cast<uint64_t>(escapes.lanes[g + k] != 0) << (g + k);
            if (beside.more()) beside.step();
        }
    }
    return g;
}

template <int kBits, class Beside>
bool decode_tile_of(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    Beside beside(pending);
    const DecodeTables<kBits> tables(coder.model);
    const SplitStates states(coder);
    const auto group = [&](uint16_t* state, const uint8_t* in, uint8_t* to, uint64_t& escaped) {
        uint8_t* const one_state[1] = {bytes_of(state)};
        const uint8_t* from[1] = {in};
        decode_together(tables, one_state, from, to, &escaped);
        if (beside.more()) beside.step();
        return static_cast<size_t>(from[0] - in);
    };
    const size_t paired = decode_pairs(tables, coder, group_count, out, escapes, beside);
    return decode_groups(coder, paired, group_count, out, escapes, group);
}

template <class Beside>
bool decode_tile_beside(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    const int entries = coder.model.entry_count;
    if (entries <= 16) return decode_tile_of<4, Beside>(coder, group_count, out, escapes, pending);
    if (entries <= 32) return decode_tile_of<5, Beside>(coder, group_count, out, escapes, pending);
    return decode_tile_of<6, Beside>(coder, group_count, out, escapes, pending);
}

bool decode_tile(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    return with_join_beside<Bf16JoinStep>(pending, [&]<class Beside>() {
        return decode_tile_beside<Beside>(coder, group_count, out, escapes, pending);
    });
}

}  // namespace
}  // namespace freebits
