// The rANS kernels with AVX2: all tables live in vector registers or a load away, entries are found by binary search, and no
// byte is looked up alone. 64 lanes are two vectors, taken through every step together so that neither waits alone.
//
// States are held as two byte vectors, their low and high bytes in lane order. The low bytes are then the slots as they
// stand, "fell below 2^8" is "high byte is zero", and taking a byte in is a blend. Products need 16 bits.
#if defined(__x86_64__)
#include "count_loops.h"
#include "crc32c.h"
#include "planes_avx2.h"
#include "rans_groups.h"
#include "renormalise_avx2.h"
#include "search_avx2.h"

namespace freebits {
namespace {

constexpr int kHalf = kLanes / 2;  // lanes in a vector

inline uint64_t bits(const __m256i (&byte_masks)[2]) {
    return static_cast<uint64_t>(bits(byte_masks[1])) << kHalf | bits(byte_masks[0]);
}

/// While a tile is coded, a stream's states lie in their own place as 64 low bytes and 64 high bytes.
class SplitStates {
public:
    explicit SplitStates(RansCoder& coder) : coder_(coder) {
        for (int k = 0; k < coder.stream_count; ++k) split(coder.stream[k].state);
    }
    ~SplitStates() {
        for (int k = 0; k < coder_.stream_count; ++k) merge(coder_.stream[k].state);
    }
    SplitStates(const SplitStates&) = delete;
    SplitStates& operator=(const SplitStates&) = delete;

private:
    static void split(uint16_t* state) {
        const __m256i a = load256(state), b = load256(state + 16), c = load256(state + 32), d = load256(state + 48);
        store256(state, pack_words(low_bytes(a), low_bytes(b)));
        store256(state + 16, pack_words(low_bytes(c), low_bytes(d)));
        store256(state + 32, pack_words(high_bytes(a), high_bytes(b)));
        store256(state + 48, pack_words(high_bytes(c), high_bytes(d)));
    }
    static void merge(uint16_t* state) {
        const __m256i low[2] = {load256(state), load256(state + 16)};
        const __m256i high[2] = {load256(state + 32), load256(state + 48)};
        for (int h = 0; h < 2; ++h) {
            const __m256i a = _mm256_unpacklo_epi8(low[h], high[h]), b = _mm256_unpackhi_epi8(low[h], high[h]);
            store256(state + kHalf * h, _mm256_permute2x128_si256(a, b, 0x20));
            store256(state + kHalf * h + 16, _mm256_permute2x128_si256(a, b, 0x31));
        }
    }
    RansCoder& coder_;
};

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

struct State {
    __m256i low, high;
};
/// freq * high + bias: even and odd lanes apart, then together again.
inline State multiply(__m256i freq, __m256i high, __m256i bias) {
    const __m256i even = _mm256_add_epi16(_mm256_mullo_epi16(low_bytes(freq), low_bytes(high)), low_bytes(bias));
    const __m256i odd = _mm256_add_epi16(_mm256_mullo_epi16(high_bytes(freq), high_bytes(high)), high_bytes(bias));
    const __m256i odd_lanes = _mm256_set1_epi16(static_cast<short>(0xFF00));
    return {_mm256_blendv_epi8(even, _mm256_slli_epi16(odd, 8), odd_lanes),
            _mm256_blendv_epi8(high_bytes(even), odd, odd_lanes)};
}

/// One group: symbols out, states advanced; returns how many bytes of `in` were taken.
template <int kBits>
inline size_t decode_group(const DecodeTables<kBits>& t, uint8_t* state, const uint8_t* in, uint8_t* out,
                           uint64_t& escaped) {
    const __m256i slot[2] = {load256(state), load256(state + kHalf)};
    const __m256i flipped[2] = {flip_top_bits(slot[0]), flip_top_bits(slot[1])};
    __m256i rank[2], freq[2], bias[2], is_escape[2], hungry[2];
    t.rank_of_slot(flipped, rank);
    for (int h = 0; h < 2; ++h) {
        freq[h] = t.freq[rank[h]];
        bias[h] = _mm256_sub_epi8(slot[h], t.start[rank[h]]);
        const __m256i symbol = t.symbol[rank[h]];
        store256(out + kHalf * h, symbol);
        is_escape[h] = _mm256_cmpeq_epi8(symbol, t.escape);
    }
    escaped = bits(is_escape);
    State y[2];
    for (int h = 0; h < 2; ++h) {
        y[h] = multiply(freq[h], load256(state + kLanes + kHalf * h), bias[h]);
        hungry[h] = _mm256_cmpeq_epi8(y[h].high, _mm256_setzero_si256());
    }
    const uint8_t* const begin = in;
    for (int h = 0; h < 2; ++h) {
        const uint32_t takers = bits(hungry[h]);
        const __m256i bytes = take_bytes(hungry[h], in, in + count(takers & 0xFFFF));
        store256(state + kHalf * h, _mm256_blendv_epi8(y[h].low, bytes, hungry[h]));
        store256(state + kLanes + kHalf * h, _mm256_blendv_epi8(y[h].high, y[h].low, hungry[h]));
        in += count(takers);
    }
    return static_cast<size_t>(in - begin);
}

template <int kBits, class Beside>
bool decode_tile_of(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    Beside beside(pending);
    const DecodeTables<kBits> tables(coder.model);
    const SplitStates states(coder);
    const auto group = [&](uint16_t* state, const uint8_t* in, uint8_t* to, uint64_t& escaped) {
        const size_t taken = decode_group(tables, reinterpret_cast<uint8_t*>(state), in, to, escaped);
        if (beside.more()) beside.step();
        return taken;
    };
    return decode_groups(coder, group_count, out, escapes, group);
}

template <class Beside>
bool decode_tile_beside(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    const int entries = coder.model.entry_count;
    if (entries <= 16) return decode_tile_of<4, Beside>(coder, group_count, out, escapes, pending);
    if (entries <= 32) return decode_tile_of<5, Beside>(coder, group_count, out, escapes, pending);
    return decode_tile_of<6, Beside>(coder, group_count, out, escapes, pending);
}

bool decode_tile(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin& pending) {
    if (pending.layout != Layout::kBf16 || !pending.numel)
        return decode_tile_beside<NothingBeside>(coder, group_count, out, escapes, pending);
    return pending.past_cache
               ? decode_tile_beside<Bf16Lines<Bf16JoinStep<true>>>(coder, group_count, out, escapes, pending)
               : decode_tile_beside<Bf16Lines<Bf16JoinStep<false>>>(coder, group_count, out, escapes, pending);
}

void join_lines(PendingJoin& pending) {
    if (pending.layout == Layout::kBf16)
        return pending.past_cache ? do_steps<Bf16Lines<Bf16JoinStep<true>>>(pending)
                                  : do_steps<Bf16Lines<Bf16JoinStep<false>>>(pending);
    kAvx2Kernels.join[static_cast<int>(pending.layout)](pending.planes, pending.numel, pending.out);
    pending.numel = 0;
}

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
    escaped = bits(is_escape);
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
void encode_tile_with(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending) {
    Beside beside(pending);
    const Tables tables(coder.model);
    const SplitStates states(coder);
    const auto group = [&](uint16_t* state, const uint8_t* from, uint8_t* out, uint64_t& escaped) {
        const size_t given = encode_group(tables, reinterpret_cast<uint8_t*>(state), from, out, escaped);
        if (beside.more()) beside.step();
        return given;
    };
    encode_groups(coder, group_count, in, escapes, group);
}

template <int kBits, class Beside>
void encode_tile_of(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending) {
    if (RankByDistance::suits(coder.model))
        return encode_tile_with<EncodeTables<kBits, RankByDistance>, Beside>(coder, group_count, in, escapes, pending);
    encode_tile_with<EncodeTables<kBits, RankBySearch<kBits>>, Beside>(coder, group_count, in, escapes, pending);
}

template <class Beside>
void encode_tile_beside(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes,
                        PendingSplit& pending) {
    const int entries = coder.model.entry_count;
    if (entries <= 16) return encode_tile_of<4, Beside>(coder, group_count, in, escapes, pending);
    if (entries <= 32) return encode_tile_of<5, Beside>(coder, group_count, in, escapes, pending);
    encode_tile_of<6, Beside>(coder, group_count, in, escapes, pending);
}

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit& pending,
                 PendingCopy&) {
    if (pending.layout == Layout::kBf16)
        return encode_tile_beside<Bf16Split<Bf16SplitStep>>(coder, group_count, in, escapes, pending);
    encode_tile_beside<NothingBeside>(coder, group_count, in, escapes, pending);
}

}  // namespace

const Kernels kAvx2Kernels = {"avx2",
                              decode_tile,
                              encode_tile,
                              FREEBITS_JOIN_TABLE(join_bf16),
                              join_lines,
                              FREEBITS_SPLIT_TABLE(split_bf16),
                              count_bytes,
                              crc32c_sse42};

}  // namespace freebits
#endif
