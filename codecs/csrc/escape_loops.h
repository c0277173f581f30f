// Moving the values of escapes out of a tile and back, in plain loops. Included by each instruction set's file.
#pragma once

#include <bit>

#include "rans_kernel.h"

namespace freebits {
namespace {

/// Clears the highest set bit and returns its number.
inline size_t take_highest(uint64_t& bits) {
    const int bit = 63 - std::countl_zero(bits);
    bits ^= 1ull << bit;
    return static_cast<size_t>(bit);
}

/// Clears the lowest set bit and returns its number.
inline size_t take_lowest(uint64_t& bits) {
    const int bit = std::countr_zero(bits);
    bits &= bits - 1;
    return static_cast<size_t>(bit);
}

inline uint8_t* gather_escapes(const uint8_t* tile, const TileEscapes& escapes, uint8_t* end) {
    for (uint64_t groups = escapes.groups; groups;) {
        const size_t g = take_highest(groups);
        for (uint64_t lanes = escapes.lanes[g]; lanes;) *--end = tile[g * kLanes + take_highest(lanes)];
    }
    return end;
}

inline size_t scatter_escapes(uint8_t* tile, const TileEscapes& escapes, const uint8_t* values, size_t left) {
    size_t taken = 0;
    for (uint64_t groups = escapes.groups; groups;) {
        const size_t g = take_lowest(groups);
        for (uint64_t lanes = escapes.lanes[g]; lanes; ++taken) {
            if (taken == left) return left + 1;
            tile[g * kLanes + take_lowest(lanes)] = values[taken];
        }
    }
    return taken;
}

}  // namespace
}  // namespace freebits
