// Logarithms in 1/65536, by integer arithmetic only: the same on every machine.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace freebits {

/// log2(x), by repeated squaring: exact enough, and the same everywhere.
constexpr uint32_t log2_q16(uint32_t x) {
    int whole = 31;
    while (!(x >> whole)) --whole;
    uint64_t mantissa = (static_cast<uint64_t>(x) << 31) >> whole;  // [1, 2) in 1.31
    uint32_t result = static_cast<uint32_t>(whole);
    for (int bit = 0; bit < 16; ++bit) {
        mantissa = mantissa * mantissa >> 31;
        result <<= 1;
        if (mantissa >> 32) {
            result |= 1;
            mantissa >>= 1;
        }
    }
    return result;
}

inline constexpr uint32_t kLog2Limit = 1024;
inline constexpr auto kLog2 = [] {  // kLog2[0] is nobody's
    std::array<uint32_t, kLog2Limit + 1> table{};
    for (uint32_t x = 1; x <= kLog2Limit; ++x) table[x] = log2_q16(x);
    return table;
}();

/// x log2(x), and nothing for 0.
inline constexpr auto kXLog2 = [] {
    std::array<uint32_t, kLog2Limit + 1> table{};
    for (uint32_t x = 1; x <= kLog2Limit; ++x) table[x] = x * kLog2[x];
    return table;
}();

/// log2 of x > 0, interpolated between leading 10-bit values: good to a few units.
inline uint32_t fast_log2_q16(uint32_t x) {
    if (x <= kLog2Limit) return kLog2[x];
    const int shift = 22 - std::countl_zero(x);
    const uint32_t head = x >> shift, rest = x & ((1u << shift) - 1);
    const uint64_t rise = static_cast<uint64_t>(kLog2[head + 1] - kLog2[head]) * rest >> shift;
    return kLog2[head] + static_cast<uint32_t>(rise) + (static_cast<uint32_t>(shift) << 16);
}

/// The same of any x.
inline uint64_t x_log2_q16(uint32_t x) {
    return x <= kLog2Limit ? kXLog2[x] : static_cast<uint64_t>(x) * fast_log2_q16(x);
}

}  // namespace freebits
