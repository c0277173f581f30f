// Which models a plane gets: tensors differ in scale, so tiles are dealt to a few models by what coding them would cost.
#pragma once

#include <vector>

#include "model.h"

namespace freebits {

/// The next tile_count tiles of a plane are coded with models[model].
struct ModelSegment {
    uint32_t tile_count;
    uint8_t model;
};

struct PlaneModels {
    std::vector<RansModel> models;
    std::vector<ModelSegment> segments;
    uint64_t nbytes = 0;  // the plane's symbols and models will take, by what was counted
};

inline constexpr size_t kMaxModels = 64;  // of one plane
inline constexpr size_t kMaxUnits = 32;   // runs of tiles that are judged as one; bounds the planning time

/// Tiles per unit of a plane of numel elements.
inline size_t unit_tiles(size_t numel) {
    const size_t tiles = (numel + kTile - 1) / kTile;
    return (tiles + kMaxUnits - 1) / kMaxUnits;
}

/// Share units out among models. units[u] counts unit u, or a sample of it, and is used up; numel is the plane's length.
PlaneModels plan_models(std::vector<Histogram>& units, size_t numel, bool sampled);

}  // namespace freebits
