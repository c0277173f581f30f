// Adaptive planes: short ones, whose models would cost more than they save, coded bit by bit with probabilities that
// follow what came before (FORMAT.md, "Adaptive plane").
#pragma once

#include <vector>

#include "status.h"

namespace freebits {

inline constexpr size_t kMaxAdaptive = 1u << 15;  // elements of all in a chunk: bits that wait for each other take time

/// What the n bytes of a plane are coded to.
void encode_adaptive(const uint8_t* plane, size_t n, std::vector<uint8_t>& out);

/// The n bytes, at most kMaxAdaptive, of a plane whose payload is payload[0..nbytes).
Status decode_adaptive(const uint8_t* payload, size_t nbytes, uint8_t* plane, size_t n);

}  // namespace freebits
