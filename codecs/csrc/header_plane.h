// Header planes: the header of a safetensors file without the offsets that follow from dtypes and shapes (FORMAT.md,
// "Header plane").
#pragma once

#include <cstddef>
#include <cstdint>

#include "status.h"

namespace freebits {

/// The n bytes of a plane whose payload is payload[0..nbytes).
Status decode_header_plane(const uint8_t* payload, size_t nbytes, uint8_t* plane, size_t n);

}  // namespace freebits
