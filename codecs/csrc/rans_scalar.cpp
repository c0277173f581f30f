// The rANS kernels in portable C++: the reference every other instruction set must match byte for byte.
#include "crc32c.h"
#include "planes_loops.h"
#include "rans_kernel.h"

namespace freebits {
namespace {

bool decode_group(const RansModel& model, RansStream& s, const uint8_t* end, uint8_t* out, uint64_t& escapes) {
    escapes = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
        const uint32_t x = s.state[lane], slot = x & (kSlots - 1);
        const uint8_t rank = model.rank_of_slot[slot];
        uint32_t next = model.freq[rank] * (x >> kProbBits) + slot - model.start[rank];
        out[lane] = model.symbol[rank];
        escapes |= static_cast<uint64_t>(out[lane] == model.escape_byte) << lane;
        if (next < kStateFloor) {
            if (s.in >= end) return false;
            next = next << 8 | *s.in++;
        }
        s.state[lane] = static_cast<uint16_t>(next);
    }
    return true;
}

bool decode_tile(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes) {
    escapes.groups = 0;
    for (size_t g = 0; g < group_count; ++g) {
        RansStream& s = coder.stream[g & (coder.stream_count - 1)];
        if (!decode_group(coder.model, s, coder.in_end, out + g * kLanes, escapes.lanes[g])) return false;
        escapes.groups |= static_cast<uint64_t>(escapes.lanes[g] != 0) << g;
    }
    return true;
}

void encode_group(const RansModel& model, RansStream& s, const uint8_t* in, uint64_t& escapes) {
    escapes = 0;
    for (int lane = kLanes - 1; lane >= 0; --lane) {
        const uint8_t rank = model.rank_of_symbol[in[lane]];
        const uint32_t freq = model.freq[rank];
        uint32_t x = s.state[lane];
        if (x >> kProbBits >= freq) {
            *--s.out = static_cast<uint8_t>(x);
            x >>= 8;
        }
        s.state[lane] = static_cast<uint16_t>((x / freq << kProbBits) + x % freq + model.start[rank]);
        escapes |= static_cast<uint64_t>(model.has_escape && rank == model.entry_count - 1) << lane;
    }
}

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes) {
    escapes.groups = 0;
    for (size_t g = group_count; g-- > 0;) {
        RansStream& s = coder.stream[g & (coder.stream_count - 1)];
        encode_group(coder.model, s, in + g * kLanes, escapes.lanes[g]);
        escapes.groups |= static_cast<uint64_t>(escapes.lanes[g] != 0) << g;
    }
}

}  // namespace

const Kernels kScalarKernels = {
    "scalar", decode_tile, encode_tile, FREEBITS_JOIN_TABLE(join_bf16), FREEBITS_SPLIT_TABLE(split_bf16), crc32c_tables};

}  // namespace freebits
