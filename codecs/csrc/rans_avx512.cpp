// The rANS kernels with AVX-512 VBMI2: all tables live in vector registers, so a look-up is vpermi2b instead of a gather,
// and renormalisation is one vpexpandb (decode) or vpcompressb (encode) for 64 lanes.
#if defined(__x86_64__)
#include "count_avx512.h"
#include "crc32c.h"
#include "encode_avx512.h"
#include "escape_avx512.h"
#include "lanes_avx512.h"
#include "planes_avx512.h"
#include "planes_loops.h"
#include "rans_kernel.h"

namespace freebits {
namespace {

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
    return with_join_beside<Bf16JoinStep>(pending, [&]<class Beside>() {
        return decode_tile_beside<Beside>(coder, group_count, out, escapes, pending);
    });
}

void join_lines(PendingJoin& pending) { join_lines_by<Bf16JoinStep>(kAvx512Kernels, pending); }

}  // namespace

const Kernels kAvx512Kernels = {"avx512",
                                decode_tile,
                                encode_tile,
                                gather_escapes_avx512,
                                scatter_escapes_avx512,
                                FREEBITS_JOIN_TABLE(join_bf16_avx512),
                                join_lines,
                                FREEBITS_SPLIT_TABLE(split_bf16_avx512),
                                count_bytes_avx512,
                                crc32c_vpclmul};

}  // namespace freebits
#endif
