// Values of escapes, gathered from a tile and scattered to one, by every instruction set.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "agreement.h"
#include "guarded_bytes.h"
#include "random_models.h"

namespace {

using namespace freebits;

/// A tile of whole groups at the end of its memory, and which of its lanes are escapes: one of `rarity`.
struct EscapedTile {
    size_t groups;
    GuardedBytes memory;
    uint8_t* bytes;
    TileEscapes escapes{};
    std::vector<uint8_t> values;  // in order

    EscapedTile(Random& random, size_t group_count, size_t rarity)
        : groups(group_count), memory(groups * kLanes), bytes(memory.tail(groups * kLanes)) {
        random.fill(bytes, groups * kLanes);
        for (size_t i = 0; i < groups * kLanes; ++i) {
            if (random.below(rarity)) continue;
            escapes.lanes[i / kLanes] |= 1ull << i % kLanes;
            escapes.groups |= 1ull << i / kLanes;
            values.push_back(bytes[i]);
        }
    }
};

void check_gathered(const Kernels& kernels, const EscapedTile& tile, const std::string& what) {
    const GuardedBytes out(tile.values.size());
    uint8_t* end = out.tail(0);
    const uint8_t* first = kernels.gather_escapes(tile.bytes, tile.escapes, end);
    require(std::equal(first, static_cast<const uint8_t*>(end), tile.values.begin(), tile.values.end()), kernels,
            "gathers other values: " + what);
}

void check_scattered(Random& random, const Kernels& kernels, const EscapedTile& tile, const std::string& what) {
    const size_t count = tile.values.size(), nbytes = tile.groups * kLanes;
    const GuardedBytes memory(nbytes), values(count);
    uint8_t* bytes = memory.tail(nbytes);
    for (size_t i = 0; i < nbytes; ++i) {
        const bool escaped = tile.escapes.lanes[i / kLanes] >> i % kLanes & 1;
        bytes[i] = escaped ? static_cast<uint8_t>(random.next()) : tile.bytes[i];
    }
    std::copy(tile.values.begin(), tile.values.end(), values.tail(count));
    require(kernels.scatter_escapes(bytes, tile.escapes, values.tail(count), count) == count &&
                std::equal(bytes, bytes + nbytes, tile.bytes),
            kernels, "scatters otherwise: " + what);
    for (size_t left = 0; left < count; left += 1 + left / 3)
        require(kernels.scatter_escapes(bytes, tile.escapes, values.tail(left), left) == left + 1, kernels,
                "does not miss values: " + what);
}

void check_escape_values(Random& random) {
    for (size_t groups = 1; groups <= kTileGroups; ++groups)
        for (const size_t rarity : {1, 3, 60, 400, 5000}) {
            const EscapedTile tile(random, groups, rarity);
            const std::string what = std::to_string(tile.values.size()) + " of " + std::to_string(groups) + " groups";
            for (const Kernels* kernels : available_kernels()) {
                check_gathered(*kernels, tile, what);
                check_scattered(random, *kernels, tile, what);
            }
        }
}

}  // namespace
