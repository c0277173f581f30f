// Byte shuffles that move a subset of 8 lanes, indexed by the subset's bit mask, for instruction sets without expand and
// compress. kNoLane selects no byte: the shuffle then gives zero.
#pragma once

#include <cstdint>

namespace freebits {

struct LaneShuffles {
    alignas(64) uint8_t to[256][8];
};

inline constexpr uint8_t kNoLane = 0xFF;

/// to[mask][lane]: which of the next bytes lane takes; bytes go to the set lanes in ascending order.
constexpr LaneShuffles make_expand() {
    LaneShuffles s{};
    for (int mask = 0; mask < 256; ++mask) {
        uint8_t next = 0;
        for (int lane = 0; lane < 8; ++lane) s.to[mask][lane] = mask >> lane & 1 ? next++ : kNoLane;
    }
    return s;
}

/// to[mask][i]: the lane whose byte goes to place i; the set lanes end at place 7, in ascending order.
constexpr LaneShuffles make_compress_high() {
    LaneShuffles s{};
    for (int mask = 0; mask < 256; ++mask) {
        int place = 8;
        for (int lane = 7; lane >= 0; --lane)
            if (mask >> lane & 1) s.to[mask][--place] = static_cast<uint8_t>(lane);
        while (place > 0) s.to[mask][--place] = kNoLane;
    }
    return s;
}

inline constexpr LaneShuffles kExpand = make_expand();
inline constexpr LaneShuffles kCompressHigh = make_compress_high();

}  // namespace freebits
