// rANS of every instruction set beside the scalar one: streams, states, escapes, ends.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "agreement.h"
#include "guarded_bytes.h"
#include "random_models.h"

namespace {

using namespace freebits;

/// Tiles of one plane, each with its own model, as an encoder meets them from the last to the first.
struct Plane {
    struct Tile {
        Source source;
        std::vector<uint8_t> bytes;
        size_t groups() const { return bytes.size() / kLanes; }
    };
    int stream_count;
    std::vector<Tile> tiles;

    Plane(Random& random, int streams, const std::vector<size_t>& tile_groups) : stream_count(streams) {
        for (size_t groups : tile_groups) {
            tiles.push_back({Source(random), std::vector<uint8_t>(groups * kLanes)});
            for (uint8_t& byte : tiles.back().bytes) byte = tiles.back().source.draw(random);
        }
    }
    size_t stream_groups(int k) const {
        size_t groups = 0;
        for (const Tile& t : tiles) groups += (t.groups() + static_cast<size_t>(stream_count - 1 - k)) / stream_count;
        return groups;
    }
    std::string text() const {
        std::string s = std::to_string(stream_count) + " streams, tiles of";
        for (const Tile& t : tiles) s.append(" ").append(std::to_string(t.groups()));
        return s.append(" groups");
    }
};

struct Encoded {
    std::vector<std::vector<uint8_t>> streams;
    std::vector<std::vector<uint16_t>> states;
    std::vector<TileEscapes> escapes;  // of each tile, cut to its groups
};

TileEscapes cut(const TileEscapes& escapes, size_t groups) {
    TileEscapes result = escapes;
    std::fill(result.lanes + groups, result.lanes + kTileGroups, 0);
    return result;
}
bool same(const TileEscapes& a, const TileEscapes& b) { return !std::memcmp(&a, &b, sizeof a); }

/// `pending` and `copy`: a split and a copy of other memory, some of which may be done beside.
Encoded encode(const Kernels& kernels, const Plane& plane, PendingSplit& pending, PendingCopy& copy) {
    RansCoder coder{};
    coder.stream_count = plane.stream_count;
    std::vector<std::unique_ptr<GuardedBytes>> space;
    for (int k = 0; k < plane.stream_count; ++k) {  // not a byte more than the contract asks for
        const size_t nbytes = plane.stream_groups(k) * kLanes;
        space.push_back(std::make_unique<GuardedBytes>(nbytes));
        coder.stream[k].out = space[k]->head() + nbytes;
        std::fill_n(coder.stream[k].state, kLanes, static_cast<uint16_t>(kStateFloor));
    }
    Encoded result;
    const GuardedBytes in(kTile);
    for (size_t t = plane.tiles.size(); t-- > 0;) {
        const Plane::Tile& tile = plane.tiles[t];
        uint8_t* bytes = in.tail(tile.bytes.size());
        std::copy(tile.bytes.begin(), tile.bytes.end(), bytes);
        coder.model = tile.source.model;
        TileEscapes escapes{};
        kernels.rans_encode_tile(coder, tile.groups(), bytes, escapes, pending, copy);
        result.escapes.insert(result.escapes.begin(), cut(escapes, tile.groups()));
    }
    for (int k = 0; k < plane.stream_count; ++k) {
        result.streams.emplace_back(coder.stream[k].out, space[k]->head() + plane.stream_groups(k) * kLanes);
        result.states.emplace_back(coder.stream[k].state, coder.stream[k].state + kLanes);
    }
    return result;
}

Encoded encode(const Kernels& kernels, const Plane& plane) {
    PendingSplit none;
    PendingCopy nothing;
    return encode(kernels, plane, none, nothing);
}

/// What decoding gives up to the first tile that runs past the end.
struct Decoded {
    bool sound = true;
    std::vector<std::vector<uint8_t>> tiles;
    std::vector<TileEscapes> escapes;
    std::vector<std::vector<uint16_t>> states;
    size_t left = 0;  // bytes after the last one taken, over all streams
    bool operator==(const Decoded& other) const {
        return sound == other.sound && tiles == other.tiles && left == other.left && states == other.states &&
               std::equal(escapes.begin(), escapes.end(), other.escapes.begin(), other.escapes.end(), same);
    }
};

/// Decode from memory that ends `missing` bytes early.
Decoded decode(const Kernels& kernels, const Plane& plane, const Encoded& encoded, size_t missing) {
    std::vector<uint8_t> all;
    for (const auto& stream : encoded.streams) all.insert(all.end(), stream.begin(), stream.end());
    const size_t nbytes = all.size() - std::min(missing, all.size());
    const GuardedBytes memory(all.size()), out(kTile);
    RansCoder coder{};
    coder.stream_count = plane.stream_count;
    const uint8_t* begin = memory.tail(nbytes);
    std::copy_n(all.begin(), nbytes, memory.tail(nbytes));
    coder.in_end = begin + nbytes;
    std::vector<const uint8_t*> ends;
    for (int k = 0; k < plane.stream_count; ++k) {
        coder.stream[k].in = std::min(k ? ends[k - 1] : begin, coder.in_end);
        ends.push_back(coder.stream[k].in + std::min<size_t>(encoded.streams[k].size(), coder.in_end - coder.stream[k].in));
        std::copy(encoded.states[k].begin(), encoded.states[k].end(), coder.stream[k].state);
    }
    Decoded result;
    for (const Plane::Tile& tile : plane.tiles) {
        coder.model = tile.source.model;
        uint8_t* bytes = out.tail(tile.bytes.size());
        TileEscapes escapes{};
        PendingJoin none;
        result.sound = kernels.rans_decode_tile(coder, tile.groups(), bytes, escapes, none);
        if (!result.sound) return result;
        result.tiles.emplace_back(bytes, bytes + tile.bytes.size());
        result.escapes.push_back(tile.source.model.has_escape ? cut(escapes, tile.groups()) : TileEscapes{});
    }
    for (int k = 0; k < plane.stream_count; ++k) {
        result.left += static_cast<size_t>(ends[k] - coder.stream[k].in);
        result.states.emplace_back(coder.stream[k].state, coder.stream[k].state + kLanes);
    }
    return result;
}

/// What a faultless decoder returns for the plane.
Decoded expected(const Plane& plane, const Encoded& encoded) {
    Decoded result;
    for (const Plane::Tile& tile : plane.tiles) {
        std::vector<uint8_t> bytes = tile.bytes;
        for (uint8_t& byte : bytes)
            if (!tile.source.has_entry(byte)) byte = tile.source.model.escape_byte;
        result.tiles.push_back(bytes);
    }
    result.escapes = encoded.escapes;
    result.states.assign(plane.stream_count, std::vector<uint16_t>(kLanes, kStateFloor));
    return result;
}

void check_escapes(const Plane& plane, const Encoded& encoded) {
    for (size_t t = 0; t < plane.tiles.size(); ++t)
        for (size_t i = 0; i < plane.tiles[t].bytes.size(); ++i) {
            const TileEscapes& escapes = encoded.escapes[t];
            const bool marked = escapes.lanes[i / kLanes] >> (i % kLanes) & 1;
            require(marked != plane.tiles[t].source.has_entry(plane.tiles[t].bytes[i]) &&
                        (escapes.groups >> (i / kLanes) & 1) == (escapes.lanes[i / kLanes] != 0),
                    kScalarKernels, "escapes are marked wrong: " + plane.text());
        }
}

void check_plane(Random& random, const Plane& plane) {
    const Encoded reference = encode(kScalarKernels, plane);
    check_escapes(plane, reference);
    Encoded hostile = reference;
    for (auto& stream : hostile.streams) random.fill(stream.data(), stream.size());
    for (auto& states : hostile.states)
        for (uint16_t& x : states) x = static_cast<uint16_t>(random.next());
    const size_t missing = 1 + random.below(random.below(2) ? 100 : 4000);
    for (const Kernels* kernels : available_kernels()) {
        const Encoded own = encode(*kernels, plane);
        require(own.streams == reference.streams && own.states == reference.states, *kernels,
                "encodes differently from scalar: " + plane.text());
        require(std::equal(own.escapes.begin(), own.escapes.end(), reference.escapes.begin(), same), *kernels,
                "marks other escapes than scalar: " + plane.text());
        require(decode(*kernels, plane, reference, 0) == expected(plane, reference), *kernels,
                "does not decode what scalar encoded: " + plane.text());
        for (const Encoded& data : {reference, hostile})
            require(decode(*kernels, plane, data, missing) == decode(kScalarKernels, plane, data, missing), *kernels,
                    "decodes truncated data differently from scalar: " + plane.text());
    }
}

void check_rans(Random& random) {
    for (int streams : {1, 2, 4}) {
        for (size_t groups = 1; groups <= kTileGroups; ++groups) check_plane(random, Plane(random, streams, {groups}));
        for (int i = 0; i < 20; ++i)
            check_plane(random, Plane(random, streams, {kTileGroups, kTileGroups, 1 + random.below(kTileGroups)}));
        for (int i = 0; i < 20; ++i)
            check_plane(random, Plane(random, streams, {1 + random.below(9), 1 + random.below(9), 1 + random.below(9)}));
    }
}

}  // namespace
