// From a histogram to frequencies that sum to 256, and the model's bytes (FORMAT.md, "Model").
#pragma once

#include "bytes.h"
#include "rans_kernel.h"
#include "status.h"

namespace freebits {

struct Histogram {
    uint32_t count[256] = {};
    uint32_t total = 0;
    void add(const uint8_t* data, size_t nbytes);
    int distinct() const;
    /// Order-0 entropy of what was counted, in 1/65536 bits per byte.
    uint32_t entropy_q16() const;
};

/// log2 of x > 0 in 1/65536, interpolated between leading 10-bit values: good to a few units.
uint32_t fast_log2_q16(uint32_t x);

/// Choose entries and frequencies. `sampled`: bytes that were not counted may occur, so an escape is needed.
/// Needs two distinct bytes, or one and `sampled`. Integer arithmetic only: the same on every machine.
RansModel build_model(const Histogram& histogram, bool sampled);

/// Bits the model spends on what was counted, in 1/65536 bits per byte; an escape's value is reckoned at 4 bits.
uint32_t model_cost_q16(const RansModel& model, const Histogram& histogram);

inline constexpr size_t kMaxModelBytes = 3 + 32 + kMaxSymbols;
void write_model(const RansModel& model, ByteWriter& out);
Status read_model(ByteReader& in, RansModel& model);

}  // namespace freebits
