// From a histogram to frequencies that sum to 256, and the model's bytes (FORMAT.md, "Model").
#pragma once

#include "bytes.h"
#include "histogram.h"
#include "rans_kernel.h"
#include "status.h"

namespace freebits {

/// Choose entries and frequencies. `sampled`: bytes that were not counted may occur, so an escape is needed.
/// Needs two distinct bytes, or one and `sampled`. Integer arithmetic only: the same on every machine.
RansModel build_model(const Histogram& histogram, bool sampled);

/// Bits the model spends on what was counted, in 1/65536; an escape's value is reckoned at 4 bits.
uint64_t model_cost_q16(const RansModel& model, const Histogram& histogram);

inline constexpr size_t kMaxModelBytes = 3 + 32 + kMaxSymbols;
void write_model(const RansModel& model, ByteWriter& out);
Status read_model(ByteReader& in, RansModel& model);

}  // namespace freebits
