// How the elements of each layout fall into byte planes (FORMAT.md, "Layouts").
#pragma once

#include "rans_kernel.h"

namespace freebits {

struct LayoutFacts {
    int item_nbytes;
    int plane_count;
    int exponent_planes;     // the leading planes that carry the exponent: worth a full histogram
    size_t sample_elements;  // counted per frame: wide alphabets need all of them, exponents few
};

inline constexpr size_t kFew = 1u << 15, kAll = SIZE_MAX;

inline constexpr LayoutFacts kLayouts[kLayoutCount] = {
    {1, 1, 0, kAll},  // bytes
    {2, 2, 1, kFew},  // BF16: exponent | mantissa, sign
    {2, 3, 1, kAll},  // F16: exponent, top mantissa bit | next 2 mantissa bits | low 7 mantissa bits, sign
    {4, 4, 1, kFew},  // F32: exponent | top 7 mantissa bits, sign | 2 mantissa bytes
    {8, 8, 2, kFew},  // F64: low 8 exponent bits | high 3 exponent bits, top 4 mantissa bits, sign | 6 mantissa bytes
    {1, 2, 1, kAll},  // F8_E4M3: exponent, top mantissa bit | low 2 mantissa bits, sign
    {1, 2, 1, kAll},  // F8_E5M2: exponent, top mantissa bit | low mantissa bit, sign
    {2, 2, 0, kAll},  // 16-bit integers: high byte | low byte
    {4, 4, 0, kAll},  // 32-bit
    {8, 8, 0, kAll},  // 64-bit
};

inline const LayoutFacts& facts(Layout layout) { return kLayouts[static_cast<int>(layout)]; }

enum class PlaneCodec : uint8_t { kRaw, kConstant, kRans, kAdaptive, kHeader, kCount };

/// Whether a plane of the codec stands in its frame behind its length, after all that do not.
inline bool has_payload(PlaneCodec codec) { return codec >= PlaneCodec::kRans; }

}  // namespace freebits
