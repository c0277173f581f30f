// The rANS kernels in portable C++: the reference every other instruction set must match byte for byte.
//
// Whether a lane gives or takes a byte is close to random, so nothing branches on it. A byte to give is written in any
// case and the pointer moves by 0 or 1; lanes that take one are walked as the bits of a mask. The arithmetic stands apart
// in loops over the 64 lanes that compilers vectorise.
#include <bit>

#include "count_loops.h"
#include "crc32c.h"
#include "escape_loops.h"
#include "planes_loops.h"
#include "rans_groups.h"
#include "rans_kernel.h"

namespace freebits {
namespace {

/// Bit i of the result: byte i of the group equals `wanted`.
uint64_t equal_bytes(const uint8_t* bytes, uint8_t wanted) {
    constexpr uint64_t kOnes = 0x0101010101010101, kSevens = 0x7F * kOnes, kGatherBits = 0x0102040810204080;
    uint64_t mask = 0;
    for (int lane = 0; lane < kLanes; lane += 8) {
        const uint64_t difference = load<uint64_t>(bytes + lane) ^ kOnes * wanted;
        const uint64_t equal = ~(((difference & kSevens) + kSevens) | difference | kSevens);  // 0x80 or 0 in every byte
        mask |= ((equal >> 7) * kGatherBits >> 56) << lane;
    }
    return mask;
}

// Not inlined, like its counterpart: what the caller holds in registers makes compilers spill `in` and `out` here.
__attribute__((noinline)) size_t decode_group(const SlotTable& table, uint16_t* state, const uint8_t* in,
                                              uint8_t* out) {
    alignas(64) uint16_t freq_bias[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
        const uint32_t entry = table[state[lane] & (kSlots - 1)];
        freq_bias[lane] = static_cast<uint16_t>(entry);
        out[lane] = static_cast<uint8_t>(entry >> 16);
    }
    alignas(64) uint8_t high[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
        const uint16_t freq = freq_bias[lane] & 0xFF, bias = freq_bias[lane] >> 8;
        state[lane] = static_cast<uint16_t>(freq * (state[lane] >> 8) + bias);
        high[lane] = static_cast<uint8_t>(state[lane] >> 8);
    }
    const uint8_t* const begin = in;
    for (uint64_t hungry = equal_bytes(high, 0); hungry; hungry &= hungry - 1) {
        uint16_t& x = state[std::countr_zero(hungry)];
        x = static_cast<uint16_t>(x << 8 | *in++);
    }
    return static_cast<size_t>(in - begin);
}

bool decode_tile(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin&) {
    const SlotTable table(coder.model);
    const uint8_t escape = coder.model.escape_byte;
    const auto group = [&table, escape](uint16_t* state, const uint8_t* in, uint8_t* to, uint64_t& escaped) {
        const size_t taken = decode_group(table, state, in, to);
        escaped = equal_bytes(to, escape);
        return taken;
    };
    return decode_groups(coder, 0, group_count, out, escapes, group);
}

/// x -> (x / freq) * 256 + x % freq + start; x < 256 * freq, so the quotient fits a byte.
/// The reciprocal is rounded down, which leaves the quotient at most one too small.
inline uint16_t push(uint16_t x, uint16_t freq, uint16_t start, uint16_t reciprocal) {
    uint16_t quotient = static_cast<uint16_t>(static_cast<uint32_t>(x) * reciprocal >> 16);
    const uint16_t remainder = static_cast<uint16_t>(x - quotient * freq);
    quotient = static_cast<uint16_t>(quotient + (remainder >= freq));
    return static_cast<uint16_t>(x + start + quotient * (kSlots - freq));
}

/// start: of every lane's entry.
__attribute__((noinline)) size_t encode_group(const ByteTable& table, uint16_t* state, const uint8_t* in, uint8_t* out,
                                              uint8_t* start) {
    alignas(64) uint16_t freq_start[kLanes], reciprocal[kLanes];
    uint8_t* const end = out;
    for (int lane = kLanes - 1; lane >= 0; --lane) {
        const uint32_t entry = table[in[lane]];
        freq_start[lane] = static_cast<uint16_t>(entry);
        reciprocal[lane] = static_cast<uint16_t>(entry >> 16);
        out[-1] = static_cast<uint8_t>(state[lane]);
        out -= state[lane] >> 8 >= (entry & 0xFF);
    }
    for (int lane = 0; lane < kLanes; ++lane) {
        const uint16_t x = state[lane], high = x >> 8, freq = freq_start[lane] & 0xFF;
        start[lane] = static_cast<uint8_t>(freq_start[lane] >> 8);
        state[lane] = push(high >= freq ? high : x, freq, start[lane], reciprocal[lane]);
    }
    return static_cast<size_t>(end - out);
}

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit&,
                 PendingCopy&) {
    const RansModel& m = coder.model;
    const ByteTable table(m);
    const uint64_t any = m.has_escape ? ~0ull : 0;
    const uint8_t escape_start = m.start[m.entry_count - 1];  // no other entry starts there
    const auto group = [&](uint16_t* state, const uint8_t* from, uint8_t* out, uint64_t& escaped) {
        alignas(64) uint8_t start[kLanes];
        const size_t given = encode_group(table, state, from, out, start);
        escaped = equal_bytes(start, escape_start) & any;
        return given;
    };
    encode_groups(coder, group_count, in, escapes, group);
}

}  // namespace

const Kernels kScalarKernels = {
    "scalar", decode_tile, encode_tile, gather_escapes, scatter_escapes, FREEBITS_JOIN_TABLE(join_bf16), nullptr,
    FREEBITS_SPLIT_TABLE(split_bf16), count_bytes, crc32c_tables};

}  // namespace freebits
