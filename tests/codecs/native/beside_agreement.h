// Joins beside decoding, splits and copies beside encoding.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "loops_agreement.h"
#include "rans_agreement.h"

namespace {

using namespace freebits;

struct BesideOutcome {
    bool sound;
    std::vector<uint8_t> tile, joined;
    bool operator==(const BesideOutcome&) const = default;
};

/// One tile of `plane` decoded while `n` elements of `planes` are joined, as the frame decoder does it.
BesideOutcome decode_beside(const Kernels& kernels, const Plane& plane, const Encoded& encoded, PendingJoin pending) {
    const size_t nbytes = pending.numel * static_cast<size_t>(facts(pending.layout).item_nbytes);
    const uint8_t* start = pending.out;
    std::vector<uint8_t> all;
    for (const auto& stream : encoded.streams) all.insert(all.end(), stream.begin(), stream.end());
    RansCoder coder{};
    coder.stream_count = plane.stream_count;
    coder.model = plane.tiles[0].source.model;
    coder.in_end = all.data() + all.size();
    for (int k = 0, at = 0; k < plane.stream_count; at += static_cast<int>(encoded.streams[k++].size())) {
        coder.stream[k].in = all.data() + at;
        std::copy(encoded.states[k].begin(), encoded.states[k].end(), coder.stream[k].state);
    }
    std::vector<uint8_t> tile(kTile);
    TileEscapes escapes{};
    BesideOutcome outcome{};
    outcome.sound = kernels.rans_decode_tile(coder, plane.tiles[0].groups(), tile.data(), escapes, pending);
    if (kernels.join_lines) {
        kernels.join_lines(pending);
        require(pending.numel <= kMaxLeft || reinterpret_cast<uintptr_t>(pending.out) % 2, kernels, "join_lines leaves too much");
    }
    kernels.join[static_cast<int>(pending.layout)](pending.planes, pending.numel, pending.out);
    outcome.tile.assign(tile.begin(), tile.begin() + static_cast<ptrdiff_t>(plane.tiles[0].bytes.size()));
    outcome.joined.assign(start, start + nbytes);
    return outcome;
}

void check_beside(Random& random, Layout layout, size_t n, bool past_cache) {
    const LayoutFacts& shape = facts(layout);
    const size_t nbytes = n * static_cast<size_t>(shape.item_nbytes), shift = random.below(130);
    const Plane plane(random, 1 << random.below(3), {1 + random.below(kTileGroups)});
    const Encoded encoded = encode(kScalarKernels, plane);
    const PlaneMemory planes(shape.plane_count, n);
    const GuardedBytes memory(nbytes + shift);
    PendingJoin pending{layout, past_cache, {}, memory.tail(nbytes + shift), n};
    for (int p = 0; p < shape.plane_count; ++p) {
        random.fill(planes.at[p], n);
        pending.planes[p] = planes.at[p];
    }
    const BesideOutcome wanted = decode_beside(kScalarKernels, plane, encoded, pending);
    for (const Kernels* kernels : available_kernels()) {
        std::fill_n(pending.out, nbytes, 0);
        require(decode_beside(*kernels, plane, encoded, pending) == wanted, *kernels,
                "joins or decodes differently side by side: layout " + std::to_string(static_cast<int>(layout)) + ", " +
                    std::to_string(n) + " elements beside " + plane.text());
    }
}

void check_split_beside(Random& random, Layout layout, size_t n) {
    const LayoutFacts& shape = facts(layout);
    const size_t nbytes = n * static_cast<size_t>(shape.item_nbytes);
    const GuardedBytes in(nbytes);
    random.fill(in.tail(nbytes), nbytes);
    const Plane plane(random, 1 << random.below(3), {1 + random.below(kTileGroups)});
    const Encoded wanted = encode(kScalarKernels, plane);
    const PlaneMemory scalar(shape.plane_count, n);
    kScalarKernels.split[static_cast<int>(layout)](in.tail(nbytes), n, scalar.at);
    for (const Kernels* kernels : available_kernels()) {
        const PlaneMemory planes(shape.plane_count, n);
        PendingSplit pending{layout, in.tail(nbytes), {}, n};
        std::copy(planes.at, planes.at + shape.plane_count, pending.planes);
        PendingCopy nothing;
        const Encoded own = encode(*kernels, plane, pending, nothing);
        kernels->split[static_cast<int>(layout)](pending.in, pending.numel, pending.planes);
        require(own.streams == wanted.streams && own.states == wanted.states && planes.equals(scalar, n), *kernels,
                "splits or encodes differently side by side: layout " + std::to_string(static_cast<int>(layout)) + ", " +
                    std::to_string(n) + " elements beside " + plane.text());
    }
}

void check_copy_beside(Random& random, size_t nbytes) {
    const GuardedBytes from(nbytes), to(nbytes + 64);
    random.fill(from.tail(nbytes), nbytes);
    const Plane plane(random, 1 << random.below(3), {1 + random.below(kTileGroups), 1 + random.below(kTileGroups)});
    const Encoded wanted = encode(kScalarKernels, plane);
    for (const Kernels* kernels : available_kernels()) {
        uint8_t* place = to.tail(nbytes + random.below(64));
        std::fill_n(to.tail(nbytes + 64), nbytes + 64, uint8_t{0});
        PendingSplit none;
        const uint32_t before = static_cast<uint32_t>(random.next());
        PendingCopy copy{from.tail(nbytes), place, nbytes, before};
        const Encoded own = encode(*kernels, plane, none, copy);
        const size_t done = nbytes - copy.nbytes;
        require(copy.from == from.tail(nbytes) + done && copy.to == place + done, *kernels, "loses its place in a copy");
        require(copy.crc == kScalarKernels.crc32c(before, from.tail(nbytes), done), *kernels, "checksums a copy differently");
        std::copy_n(copy.from, copy.nbytes, copy.to);
        require(own.streams == wanted.streams && own.states == wanted.states &&
                    std::equal(place, place + nbytes, from.tail(nbytes)),
                *kernels,
                "copies or encodes differently side by side: " + std::to_string(nbytes) + " bytes beside " + plane.text());
    }
}

void check_side_by_side(Random& random) {
    for (int i = 0; i < 300; ++i) check_copy_beside(random, random.below(i % 2 ? 400 : 4 * kTile));

    for (int layout = 0; layout < kLayoutCount; ++layout)
        for (int i = 0; i < 60; ++i) {
            const size_t n = random.below(i % 2 ? 200 : kTile + kMaxLeft);
            check_beside(random, static_cast<Layout>(layout), n, i % 3);
            check_split_beside(random, static_cast<Layout>(layout), n);
        }
}

}  // namespace
