// The walk over a tile for kernels that take one group at a time, and the packed tables those kernels look symbols up in.
// Without linkage: each including file is compiled with its own instruction set, and the linker must not mix them.
#pragma once

#include <cstring>

#include "rans_kernel.h"

namespace freebits {
namespace {

/// How far past `in` a decoder of one group may read: a group takes at most kLanes bytes, the last of them by a load of 8.
inline constexpr size_t kGroupReach = kLanes + 8;

/// decode_group(state, in, out, escapes) decodes one group and returns the number of bytes it took from `in`.
/// Groups before `first` are done, and their escapes noted.
template <class DecodeGroup>
inline bool decode_groups(RansCoder& coder, size_t first, size_t group_count, uint8_t* out, TileEscapes& escapes,
                          const DecodeGroup& decode_group) {
    const size_t last_stream = static_cast<size_t>(coder.stream_count - 1);
    uint64_t groups = first ? escapes.groups : 0;
    for (size_t g = first; g < group_count; ++g) {
        RansStream& s = coder.stream[g & last_stream];
        const size_t left = static_cast<size_t>(coder.in_end - s.in);
        const uint8_t* in = s.in;
        uint8_t rest[kGroupReach];
        if (left < kGroupReach) {
            std::memset(rest, 0, sizeof rest);
            std::memcpy(rest, in, left);
            in = rest;
        }
        const size_t taken = decode_group(s.state, in, out + g * kLanes, escapes.lanes[g]);
        if (taken > left) return false;
        s.in += taken;
        groups |= static_cast<uint64_t>(escapes.lanes[g] != 0) << g;
    }
    escapes.groups = groups;
    return true;
}

/// encode_group(state, in, out, escapes) writes below `out` and returns how many of those bytes count.
template <class EncodeGroup>
inline void encode_groups(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes,
                          const EncodeGroup& encode_group) {
    const size_t last_stream = static_cast<size_t>(coder.stream_count - 1);
    uint64_t groups = 0;
    for (size_t g = group_count; g-- > 0;) {
        RansStream& s = coder.stream[g & last_stream];
        s.out -= encode_group(s.state, in + g * kLanes, s.out, escapes.lanes[g]);
        groups |= static_cast<uint64_t>(escapes.lanes[g] != 0) << g;
    }
    escapes.groups = groups;
}

/// Decode: slot -> freq | bias << 8 | symbol << 16, where the next state is freq * (x >> 8) + bias.
class SlotTable {
public:
    explicit SlotTable(const RansModel& m) {
        const Run biases = Run{0, 1, 2, 3, 4, 5, 6, 7} << 8;
        uint32_t* slot = word_;
        for (int i = 0; i < m.entry_count; ++i) {
            Run run = biases | (m.freq[i] | static_cast<uint32_t>(m.symbol[i]) << 16);
            for (int k = 0; k < m.freq[i]; k += kRun, run += kRun << 8)
                std::memcpy(slot + k, &run, sizeof run);  // overshoots; the next entry is written over that
            slot += m.freq[i];
        }
    }
    uint32_t operator[](size_t slot) const { return word_[slot]; }

private:
    static constexpr int kRun = 8;
    typedef uint32_t Run __attribute__((vector_size(kRun * sizeof(uint32_t))));
    alignas(64) uint32_t word_[kSlots + kRun];
};

/// Encode: byte -> freq | start << 8 | reciprocal << 16 of its entry.
class ByteTable {
public:
    explicit ByteTable(const RansModel& m) {
        const uint32_t without_entry = pack(m, m.has_escape ? m.entry_count - 1 : 0);
        for (uint32_t& word : word_) word = without_entry;
        for (int i = 0; i < m.entry_count - m.has_escape; ++i) word_[m.symbol[i]] = pack(m, i);
    }
    uint32_t operator[](uint8_t byte) const { return word_[byte]; }

private:
    static uint32_t pack(const RansModel& m, int i) {
        return m.freq[i] | static_cast<uint32_t>(m.start[i]) << 8 | static_cast<uint32_t>(m.reciprocal[i]) << 16;
    }
    alignas(64) uint32_t word_[256];
};

}  // namespace
}  // namespace freebits
