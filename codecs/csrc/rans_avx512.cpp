// The rANS kernels with AVX-512 VBMI2: all tables live in vector registers, so a look-up is vpermi2b instead of a gather,
// and renormalisation is one vpexpandb (decode) or vpcompressb (encode) for 64 lanes.
//
// A state is held as two byte vectors, its low and high bytes in lane order. The low bytes are then the slots as they
// stand, "fell below 2^8" is "high byte is zero", and taking a byte in is a blend. Products need 16 bits: even and odd
// lanes are widened apart and packed again.
#if defined(__x86_64__)
#include <immintrin.h>

#include "crc32c.h"
#include "planes_avx512.h"
#include "planes_loops.h"
#include "rans_kernel.h"

namespace freebits {
namespace {

struct Lanes {
    __m512i low, high;
};

inline __m512i low_bytes() { return _mm512_set1_epi16(0x00FF); }

/// Bytes of `even` and `odd` 16-bit lanes back into lane order: low halves and high halves.
inline Lanes pack(__m512i even, __m512i odd) {
    constexpr int kSelect = 0xCA;  // mask ? first : second
    return {_mm512_ternarylogic_epi64(low_bytes(), even, _mm512_slli_epi16(odd, 8), kSelect),
            _mm512_ternarylogic_epi64(low_bytes(), _mm512_srli_epi16(even, 8), odd, kSelect)};
}
inline __m512i even_words(__m512i bytes) { return _mm512_and_si512(bytes, low_bytes()); }
inline __m512i odd_words(__m512i bytes) { return _mm512_srli_epi16(bytes, 8); }

/// state[64] as 16-bit words in lane order <-> byte vectors.
inline Lanes load_states(const uint16_t* state) {
    const __m512i a = _mm512_loadu_si512(state), b = _mm512_loadu_si512(state + 32);
    const auto join = [](__m256i x, __m256i y) { return _mm512_inserti64x4(_mm512_castsi256_si512(x), y, 1); };
    return {join(_mm512_cvtepi16_epi8(a), _mm512_cvtepi16_epi8(b)),
            join(_mm512_cvtepi16_epi8(_mm512_srli_epi16(a, 8)), _mm512_cvtepi16_epi8(_mm512_srli_epi16(b, 8)))};
}
inline void store_states(uint16_t* state, Lanes x) {
    const auto widen = [](__m512i low, __m512i high, int half) {
        const __m256i l = half ? _mm512_extracti64x4_epi64(low, 1) : _mm512_castsi512_si256(low);
        const __m256i h = half ? _mm512_extracti64x4_epi64(high, 1) : _mm512_castsi512_si256(high);
        return _mm512_or_si512(_mm512_cvtepu8_epi16(l), _mm512_slli_epi16(_mm512_cvtepu8_epi16(h), 8));
    };
    _mm512_storeu_si512(state, widen(x.low, x.high, 0));
    _mm512_storeu_si512(state + 32, widen(x.low, x.high, 1));
}

/// 256 bytes in four registers, indexed by bytes.
struct ByteTable {
    __m512i quarter[4];
    explicit ByteTable(const uint8_t* table) {
        for (int q = 0; q < 4; ++q) quarter[q] = _mm512_loadu_si512(table + 64 * q);
    }
    __m512i operator[](__m512i index) const {
        const __m512i lower = _mm512_permutex2var_epi8(quarter[0], index, quarter[1]);
        const __m512i upper = _mm512_permutex2var_epi8(quarter[2], index, quarter[3]);
        return _mm512_mask_mov_epi8(lower, _mm512_movepi8_mask(index), upper);
    }
};

struct DecodeTables {
    ByteTable rank_of_slot;
    __m512i symbol, freq, start, escape;
    explicit DecodeTables(const RansModel& m)
        : rank_of_slot(m.rank_of_slot),
          symbol(_mm512_loadu_si512(m.symbol)),
          freq(_mm512_loadu_si512(m.freq)),
          start(_mm512_loadu_si512(m.start)),
          escape(_mm512_set1_epi8(static_cast<char>(m.escape_byte))) {}
};

uint64_t groups_with_escapes(const TileEscapes& escapes, size_t group_count) {
    uint64_t groups = 0;
    for (size_t g = 0; g < kTileGroups; g += 8) {
        const __m512i lanes = _mm512_loadu_si512(escapes.lanes + g);
        groups |= static_cast<uint64_t>(_mm512_test_epi64_mask(lanes, lanes)) << g;
    }
    return _bzhi_u64(groups, static_cast<unsigned>(group_count));
}

/// One group: symbols out, states advanced. `bytes` are the next 64 of the stream; returns how many were taken.
inline unsigned decode_group(const DecodeTables& t, Lanes& x, __m512i bytes, uint8_t* out, uint64_t* escapes) {
    const __m512i slot = x.low, rank = t.rank_of_slot[slot];
    const __m512i symbol = _mm512_permutexvar_epi8(rank, t.symbol);
    const __m512i freq = _mm512_permutexvar_epi8(rank, t.freq);
    const __m512i bias = _mm512_sub_epi8(slot, _mm512_permutexvar_epi8(rank, t.start));
    _mm512_storeu_si512(out, symbol);
    *escapes = _mm512_cmpeq_epi8_mask(symbol, t.escape);
    const __m512i even =
        _mm512_add_epi16(_mm512_mullo_epi16(even_words(freq), even_words(x.high)), even_words(bias));
    const __m512i odd = _mm512_add_epi16(_mm512_mullo_epi16(odd_words(freq), odd_words(x.high)), odd_words(bias));
    const Lanes y = pack(even, odd);
    const __mmask64 hungry = _mm512_testn_epi8_mask(y.high, y.high);
    x.high = _mm512_mask_mov_epi8(y.high, hungry, y.low);
    x.low = _mm512_mask_expand_epi8(y.low, hungry, bytes);
    return static_cast<unsigned>(_mm_popcnt_u64(hungry));
}

/// K streams in lockstep: their dependency chains overlap.
template <int K, class Beside>
bool decode_tile_of(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    Beside beside(pending);  // here, not a parameter: its pointers then stay in registers
    const DecodeTables tables(coder.model);
    Lanes x[K];
    const uint8_t* in[K];
    bool roomy = true;  // no load of this tile can reach past in_end
    for (int k = 0; k < K; ++k) {
        x[k] = load_states(coder.stream[k].state);
        in[k] = coder.stream[k].in;
        roomy &= static_cast<size_t>(coder.in_end - in[k]) >= (group_count / K + 2) * kLanes;
    }
    size_t g = 0;
    if (roomy) {
        for (; g + K <= group_count; g += K)
            for (int k = 0; k < K; ++k) {
                in[k] += decode_group(tables, x[k], _mm512_loadu_si512(in[k]), out + (g + k) * kLanes,
                                      escapes.lanes + g + k);
                if (beside.more()) beside.step();
            }
    }
    bool sound = true;
    for (; g < group_count; ++g) {
        const int k = static_cast<int>(g & (K - 1));
        const size_t left = static_cast<size_t>(coder.in_end - in[k]);
        const __mmask64 there = left >= kLanes ? ~0ull : _bzhi_u64(~0ull, static_cast<unsigned>(left));
        const __m512i bytes = _mm512_maskz_loadu_epi8(there, in[k]);
        const unsigned taken = decode_group(tables, x[k], bytes, out + g * kLanes, escapes.lanes + g);
        if (taken > left) {
            sound = false;
            break;
        }
        in[k] += taken;
    }
    for (int k = 0; k < K; ++k) {
        store_states(coder.stream[k].state, x[k]);
        coder.stream[k].in = in[k];
    }
    escapes.groups = groups_with_escapes(escapes, group_count);
    return sound;
}

template <class Beside>
bool decode_tile_beside(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    if (coder.stream_count == 4) return decode_tile_of<4, Beside>(coder, group_count, out, escapes, pending);
    if (coder.stream_count == 2) return decode_tile_of<2, Beside>(coder, group_count, out, escapes, pending);
    return decode_tile_of<1, Beside>(coder, group_count, out, escapes, pending);
}

bool decode_tile(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    if (pending.layout != Layout::kBf16 || !pending.numel)
        return decode_tile_beside<NothingBeside>(coder, group_count, out, escapes, pending);
    return pending.past_cache ? decode_tile_beside<Bf16Lines<Bf16JoinStep<true>>>(coder, group_count, out, escapes, pending)
                              : decode_tile_beside<Bf16Lines<Bf16JoinStep<false>>>(coder, group_count, out, escapes, pending);
}

void join_lines(PendingJoin& pending) {
    if (pending.layout == Layout::kBf16)
        return pending.past_cache ? do_steps<Bf16Lines<Bf16JoinStep<true>>>(pending)
                                  : do_steps<Bf16Lines<Bf16JoinStep<false>>>(pending);
    kAvx512Kernels.join[static_cast<int>(pending.layout)](pending.planes, pending.numel, pending.out);
    pending.numel = 0;
}

struct EncodeTables {
    ByteTable rank_of_symbol;
    __m512i freq, start, reciprocal[2], escape_rank;
    explicit EncodeTables(const RansModel& m)
        : rank_of_symbol(m.rank_of_symbol),
          freq(_mm512_loadu_si512(m.freq)),
          start(_mm512_loadu_si512(m.start)),
          reciprocal{_mm512_loadu_si512(m.reciprocal), _mm512_loadu_si512(m.reciprocal + 32)},
          escape_rank(_mm512_set1_epi8(static_cast<char>(m.has_escape ? m.entry_count - 1 : -1))) {}
};

/// x -> (x / freq) * 256 + x % freq + start in 16-bit lanes; x < 256 * freq, so the quotient fits a byte.
/// The reciprocal is rounded down, which leaves the quotient at most one too small.
inline __m512i push(__m512i x, __m512i freq, __m512i start, __m512i reciprocal) {
    const __m512i quotient = _mm512_mulhi_epu16(x, reciprocal);
    const __m512i remainder = _mm512_sub_epi16(x, _mm512_mullo_epi16(quotient, freq));
    const __m512i y = _mm512_add_epi16(_mm512_add_epi16(_mm512_slli_epi16(quotient, 8), remainder), start);
    const __mmask32 short_by_one = _mm512_cmpge_epu16_mask(remainder, freq);
    return _mm512_mask_add_epi16(y, short_by_one, y, _mm512_sub_epi16(_mm512_set1_epi16(kSlots), freq));
}

inline unsigned encode_group(const EncodeTables& t, Lanes& x, __m512i symbols, uint8_t* out_end, uint64_t* escapes) {
    const __m512i rank = t.rank_of_symbol[symbols];
    *escapes = _mm512_cmpeq_epi8_mask(rank, t.escape_rank);
    const __m512i freq = _mm512_permutexvar_epi8(rank, t.freq), start = _mm512_permutexvar_epi8(rank, t.start);
    const __mmask64 full = _mm512_cmpge_epu8_mask(x.high, freq);
    const unsigned given = static_cast<unsigned>(_mm_popcnt_u64(full));
    _mm512_mask_storeu_epi8(out_end - given, _bzhi_u64(~0ull, given), _mm512_maskz_compress_epi8(full, x.low));
    const __m512i low = _mm512_mask_mov_epi8(x.low, full, x.high);
    const __m512i high = _mm512_mask_mov_epi8(x.high, full, _mm512_setzero_si512());
    const __m512i even = _mm512_or_si512(even_words(low), _mm512_slli_epi16(high, 8));
    const __m512i odd = _mm512_or_si512(odd_words(low), _mm512_andnot_si512(low_bytes(), high));
    const auto reciprocal = [&](__m512i index) {
        return _mm512_permutex2var_epi16(t.reciprocal[0], index, t.reciprocal[1]);
    };
    x = pack(push(even, even_words(freq), even_words(start), reciprocal(even_words(rank))),
             push(odd, odd_words(freq), odd_words(start), reciprocal(odd_words(rank))));
    return given;
}

template <int K, class Beside>
void encode_tile_of(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending) {
    Beside beside(pending);
    const EncodeTables tables(coder.model);
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
    };
    for (; g % K != 0; --g) one(g - 1, static_cast<int>((g - 1) & (K - 1)));
    for (; g != 0; g -= K)
        for (int k = 0; k < K; ++k) one(g - K + k, k);
    for (int k = 0; k < K; ++k) {
        store_states(coder.stream[k].state, x[k]);
        coder.stream[k].out = out[k];
    }
    escapes.groups = groups_with_escapes(escapes, group_count);
}

template <class Beside>
void encode_tile_beside(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes,
                        PendingSplit& pending) {
    if (coder.stream_count == 4) return encode_tile_of<4, Beside>(coder, group_count, in, escapes, pending);
    if (coder.stream_count == 2) return encode_tile_of<2, Beside>(coder, group_count, in, escapes, pending);
    encode_tile_of<1, Beside>(coder, group_count, in, escapes, pending);
}

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending) {
    if (pending.layout == Layout::kBf16)
        return encode_tile_beside<Bf16Split<Bf16SplitStep>>(coder, group_count, in, escapes, pending);
    encode_tile_beside<NothingBeside>(coder, group_count, in, escapes, pending);
}

}  // namespace

const Kernels kAvx512Kernels = {"avx512",
                                decode_tile,
                                encode_tile,
                                FREEBITS_JOIN_TABLE(join_bf16_avx512),
                                join_lines,
                                FREEBITS_SPLIT_TABLE(split_bf16_avx512),
                                crc32c_vpclmul};

}  // namespace freebits
#endif
