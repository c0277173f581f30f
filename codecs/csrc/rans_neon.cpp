// The rANS kernels with NEON: all tables live in vector registers or a load away, and tbl looks up 16 bytes at once.
//
// States are read and written as two byte vectors, their low and high bytes in lane order. The low bytes are then the
// slots as they stand, "fell below 2^8" is "high byte is zero", and taking a byte in is a select.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "count_loops.h"
#include "crc32c.h"
#include "escape_loops.h"
#include "lane_shuffles.h"
#include "planes_loops.h"
#include "rans_groups.h"
#include "rans_kernel.h"

namespace freebits {
namespace {

constexpr int kVectors = kLanes / 16;

/// 64 bytes, indexed by bytes.
struct Table64 {
    uint8x16x4_t rows;
    explicit Table64(const uint8_t* table)
        : rows{{vld1q_u8(table), vld1q_u8(table + 16), vld1q_u8(table + 32), vld1q_u8(table + 48)}} {}
    uint8x16_t operator[](uint8x16_t index) const { return vqtbl4q_u8(rows, index); }
};

/// 256 bytes, indexed by bytes: tbx leaves alone what an index out of its quarter selects.
struct Table256 {
    Table64 quarter[4];
    explicit Table256(const uint8_t* table)
        : quarter{Table64(table), Table64(table + 64), Table64(table + 128), Table64(table + 192)} {}
    uint8x16_t operator[](uint8x16_t index) const {
        uint8x16_t found = quarter[0][index];
        for (int q = 1; q < 4; ++q)
            found = vqtbx4q_u8(found, quarter[q].rows, vsubq_u8(index, vdupq_n_u8(static_cast<uint8_t>(64 * q))));
        return found;
    }
};

/// Bit i: byte i of the 64 in `masks` is all ones and not zero.
inline uint64_t lane_bits(const uint8x16_t (&masks)[kVectors]) {
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    const uint8x16_t a = vpaddq_u8(vandq_u8(masks[0], bit), vandq_u8(masks[1], bit));
    const uint8x16_t b = vpaddq_u8(vandq_u8(masks[2], bit), vandq_u8(masks[3], bit));
    const uint8x16_t eights = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(a, b));
    return vgetq_lane_u64(vreinterpretq_u64_u8(eights), 0);
}

/// The lanes of a group that give or take a byte, in eights.
struct Movers {
    uint64_t lanes;
    uint64_t counts;  // byte i: how many of the lanes 0 .. 8 * i + 7
    explicit Movers(uint64_t bits) : lanes(bits) {
        const uint64_t of_eight = vget_lane_u64(vreinterpret_u64_u8(vcnt_u8(vcreate_u8(bits))), 0);
        counts = of_eight * 0x0101010101010101;
    }
    unsigned mask(int eight) const { return lanes >> (8 * eight) & 0xFF; }
    size_t before(int eight) const { return counts << 8 >> (8 * eight) & 0xFF; }
    size_t upto(int eight) const { return counts >> (8 * eight) & 0xFF; }
    size_t all() const { return counts >> 56; }
};

inline uint8x16x2_t load_states(const uint16_t* state) { return vld2q_u8(reinterpret_cast<const uint8_t*>(state)); }
inline void store_states(uint16_t* state, uint8x16_t low, uint8x16_t high) {
    const uint8x16x2_t x = {{low, high}};
    vst2q_u8(reinterpret_cast<uint8_t*>(state), x);
}

struct DecodeTables {
    Table256 rank_of_slot;
    Table64 symbol, freq, start;
    explicit DecodeTables(const RansModel& m)
        : rank_of_slot(m.rank_of_slot), symbol(m.symbol), freq(m.freq), start(m.start) {}
};

struct Decoded {
    uint8x16_t symbol, low, high;  // low and high bytes of the states before a byte is taken
};
inline Decoded decode_vector(const DecodeTables& t, const uint16_t* state) {
    const uint8x16x2_t x = load_states(state);
    const uint8x16_t slot = x.val[0], high = x.val[1], rank = t.rank_of_slot[slot], freq = t.freq[rank];
    const uint8x16_t bias = vsubq_u8(slot, t.start[rank]);
    const uint16x8_t a = vaddw_u8(vmull_u8(vget_low_u8(freq), vget_low_u8(high)), vget_low_u8(bias));
    const uint16x8_t b = vaddw_high_u8(vmull_high_u8(freq, high), bias);
    const uint8x16_t first = vreinterpretq_u8_u16(a), second = vreinterpretq_u8_u16(b);
    return {t.symbol[rank], vuzp1q_u8(first, second), vuzp2q_u8(first, second)};
}

inline uint8x8_t taken_by(const Movers& hungry, int eight, const uint8_t* in) {
    return vtbl1_u8(vld1_u8(in + hungry.before(eight)), vld1_u8(kExpand.to[hungry.mask(eight)]));
}

size_t decode_group(const DecodeTables& t, uint8x16_t escape, uint16_t* state, const uint8_t* in, uint8_t* out,
                    uint64_t& escaped) {
    Decoded y[kVectors];
    uint8x16_t hungry[kVectors], is_escape[kVectors];
    for (int v = 0; v < kVectors; ++v) {
        y[v] = decode_vector(t, state + 16 * v);
        vst1q_u8(out + 16 * v, y[v].symbol);
        hungry[v] = vceqzq_u8(y[v].high);
        is_escape[v] = vceqq_u8(y[v].symbol, escape);
    }
    escaped = lane_bits(is_escape);
    const Movers movers(lane_bits(hungry));
    for (int v = 0; v < kVectors; ++v) {
        const uint8x16_t bytes = vcombine_u8(taken_by(movers, 2 * v, in), taken_by(movers, 2 * v + 1, in));
        store_states(state + 16 * v, vbslq_u8(hungry[v], bytes, y[v].low), vbslq_u8(hungry[v], y[v].low, y[v].high));
    }
    return movers.all();
}

bool decode_tile(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin&) {
    const DecodeTables tables(coder.model);
    const uint8x16_t escape = vdupq_n_u8(coder.model.escape_byte);
    const auto group = [&](uint16_t* state, const uint8_t* in, uint8_t* to, uint64_t& escaped) {
        return decode_group(tables, escape, state, in, to, escaped);
    };
    return decode_groups(coder, 0, group_count, out, escapes, group);
}

/// Low and high bytes of the reciprocals.
struct ReciprocalBytes {
    uint8_t low[kMaxSymbols], high[kMaxSymbols];
    explicit ReciprocalBytes(const uint16_t* reciprocal) {
        for (int i = 0; i < kMaxSymbols; i += 16) {
            const uint8x16x2_t bytes = vld2q_u8(reinterpret_cast<const uint8_t*>(reciprocal + i));
            vst1q_u8(low + i, bytes.val[0]);
            vst1q_u8(high + i, bytes.val[1]);
        }
    }
};

struct EncodeTables {
    Table256 rank_of_symbol;
    Table64 freq, start, reciprocal_low, reciprocal_high;
    explicit EncodeTables(const RansModel& m) : EncodeTables(m, ReciprocalBytes(m.reciprocal)) {}

private:
    EncodeTables(const RansModel& m, const ReciprocalBytes& reciprocal)
        : rank_of_symbol(m.rank_of_symbol),
          freq(m.freq),
          start(m.start),
          reciprocal_low(reciprocal.low),
          reciprocal_high(reciprocal.high) {}
};

/// Low and high bytes into words: those of the first 8 lanes, and of the last.
inline uint16x8_t zip_low(uint8x16_t low, uint8x16_t high) { return vreinterpretq_u16_u8(vzip1q_u8(low, high)); }
inline uint16x8_t zip_high(uint8x16_t low, uint8x16_t high) { return vreinterpretq_u16_u8(vzip2q_u8(low, high)); }

/// x -> (x / freq) * 256 + x % freq + start; x < 256 * freq, so the quotient fits a byte.
/// The reciprocal is rounded down, which leaves the quotient at most one too small.
inline uint16x8_t push(uint16x8_t x, uint16x8_t freq, uint16x8_t start, uint16x8_t reciprocal) {
    const uint16x8_t a = vreinterpretq_u16_u32(vmull_u16(vget_low_u16(x), vget_low_u16(reciprocal)));
    const uint16x8_t b = vreinterpretq_u16_u32(vmull_high_u16(x, reciprocal));
    const uint16x8_t rounded = vuzp2q_u16(a, b), remainder = vmlsq_u16(x, rounded, freq);
    const uint16x8_t quotient = vsubq_u16(rounded, vcgeq_u16(remainder, freq));  // a true comparison is -1
    return vmlaq_u16(vaddq_u16(x, start), quotient, vsubq_u16(vdupq_n_u16(kSlots), freq));
}

struct Encoded {
    uint8x16_t rank, low, full;  // low bytes of the states before the push, and which of them are given
};
inline Encoded encode_vector(const EncodeTables& t, uint16_t* state, const uint8_t* in) {
    const uint8x16x2_t x = load_states(state);
    const uint8x16_t rank = t.rank_of_symbol[vld1q_u8(in)], freq = t.freq[rank], start = t.start[rank];
    const uint8x16_t full = vcgeq_u8(x.val[1], freq);
    const uint8x16_t low = vbslq_u8(full, x.val[1], x.val[0]), high = vbicq_u8(x.val[1], full);
    const uint8x16_t r_low = t.reciprocal_low[rank], r_high = t.reciprocal_high[rank];
    vst1q_u16(state, push(zip_low(low, high), vmovl_u8(vget_low_u8(freq)), vmovl_u8(vget_low_u8(start)),
                          zip_low(r_low, r_high)));
    vst1q_u16(state + 8,
              push(zip_high(low, high), vmovl_high_u8(freq), vmovl_high_u8(start), zip_high(r_low, r_high)));
    return {rank, x.val[0], full};
}

size_t encode_group(const EncodeTables& t, uint8x16_t escape_rank, uint16_t* state, const uint8_t* in, uint8_t* out,
                    uint64_t& escaped) {
    uint8x16_t low[kVectors], full[kVectors], is_escape[kVectors];
    for (int v = 0; v < kVectors; ++v) {
        const Encoded y = encode_vector(t, state + 16 * v, in + 16 * v);
        low[v] = y.low;
        full[v] = y.full;
        is_escape[v] = vceqq_u8(y.rank, escape_rank);
    }
    escaped = lane_bits(is_escape);
    const Movers givers(lane_bits(full));
    for (int eight = 2 * kVectors - 1; eight >= 0; --eight) {  // downwards: each writes over the slack of the one above
        const uint8x16_t both = low[eight / 2];
        const uint8x8_t bytes = eight % 2 ? vget_high_u8(both) : vget_low_u8(both);
        const size_t above = givers.all() - givers.upto(eight);
        vst1_u8(out - above - 8, vtbl1_u8(bytes, vld1_u8(kCompressHigh.to[givers.mask(eight)])));
    }
    return givers.all();
}

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit&,
                 PendingCopy&) {
    const RansModel& m = coder.model;
    const EncodeTables tables(m);
    const uint8x16_t escape_rank = vdupq_n_u8(static_cast<uint8_t>(m.has_escape ? m.entry_count - 1 : -1));
    const auto group = [&](uint16_t* state, const uint8_t* from, uint8_t* out, uint64_t& escaped) {
        return encode_group(tables, escape_rank, state, from, out, escaped);
    };
    encode_groups(coder, group_count, in, escapes, group);
}

}  // namespace

const Kernels kNeonKernels = {"neon",
                              decode_tile,
                              encode_tile,
                              gather_escapes,
                              scatter_escapes,
                              FREEBITS_JOIN_TABLE(join_bf16),
                              nullptr,
                              FREEBITS_SPLIT_TABLE(split_bf16),
                              count_bytes,
                              crc32c_arm};

}  // namespace freebits
#endif
