// Repetition in the planes of a sample, for which zstd is worth asking.
#pragma once

#include <cstddef>
#include <cstdint>

namespace freebits {

/// Whether elements (pairs of them, where one has 16 bits or fewer) occur again and again, as order-0 statistics cannot
/// tell. Looks at four bytes at a few places of the sampled planes: of noise less than one such word occurs twice.
inline bool has_repeats(const uint8_t* sample, size_t stride, size_t planes, size_t taken) {
    constexpr size_t kLooks = 2048, kSuspicious = 8;
    constexpr int kTableBits = 12;
    if (taken < 2 * kLooks) return false;
    uint32_t seen[1 << kTableBits] = {};
    size_t repeats = 0;
    for (size_t look = 0; look < kLooks; ++look) {
        const size_t at = look * ((taken - 4) / kLooks);
        uint32_t word = 0;
        for (size_t j = 0; j < 4; ++j) word = word << 8 | sample[j % planes * stride + at + j / planes];
        uint32_t& slot = seen[word * 2654435761u >> (32 - kTableBits)];
        repeats += slot == word;
        slot = word;
    }
    return repeats >= kSuspicious;
}

}  // namespace freebits
