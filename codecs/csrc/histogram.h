// Counts of bytes, from which models are made.
#pragma once

#include <cstddef>
#include <cstdint>

namespace freebits {

/// How often each byte occurs. Plain data: kernels count into it (Kernels::count).
struct Histogram {
    uint32_t count[256] = {};
    uint32_t total = 0;
    int first = 255, last = 0;  // no byte outside occurs

    void add(uint8_t byte, uint32_t times);
    void add(const Histogram& other);
    void clear();
    /// Order-0 entropy of what was counted, in 1/65536 bits per byte.
    uint32_t entropy_q16() const;
};

}  // namespace freebits
