// Checks that all kernels this machine can run do exactly what the scalar ones do, inside the buffers they are given.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "cpu.h"
#include "guarded_bytes.h"
#include "layout.h"
#include "random_models.h"

using namespace freebits;

namespace {

void require(bool holds, const Kernels& kernels, const std::string& what) {
    if (holds) return;
    std::fprintf(stderr, "%s: %s\n", kernels.name, what.c_str());
    std::exit(1);
}

// --- rANS -----------------------------------------------------------------------------------------------------------

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

// --- planes ---------------------------------------------------------------------------------------------------------

struct PlaneMemory {
    std::vector<std::unique_ptr<GuardedBytes>> planes;
    uint8_t* at[kMaxPlanes] = {};
    PlaneMemory(int count, size_t n) {
        for (int p = 0; p < count; ++p) {
            planes.push_back(std::make_unique<GuardedBytes>(n));
            at[p] = planes[p]->tail(n);
        }
    }
    bool equals(const PlaneMemory& other, size_t n) const {
        for (size_t p = 0; p < planes.size(); ++p)
            if (!std::equal(at[p], at[p] + n, other.at[p])) return false;
        return true;
    }
};

/// `shift` bytes stay free at the end of interleaved memory, so that its elements lie at odd addresses too.
void check_layout(Random& random, const Kernels& kernels, int layout, size_t n, size_t shift) {
    const std::string what = "layout " + std::to_string(layout) + ", " + std::to_string(n) + " elements";
    const LayoutFacts& shape = kLayouts[layout];
    const size_t nbytes = n * static_cast<size_t>(shape.item_nbytes);
    const GuardedBytes in(nbytes + shift), joined(nbytes + shift), wanted(nbytes + shift);
    uint8_t *source = in.tail(nbytes + shift), *out = joined.tail(nbytes + shift), *reference = wanted.tail(nbytes + shift);
    random.fill(source, nbytes);
    const PlaneMemory planes(shape.plane_count, n), scalar(shape.plane_count, n);
    kernels.split[layout](source, n, planes.at);
    kScalarKernels.split[layout](source, n, scalar.at);
    require(planes.equals(scalar, n), kernels, "splits differently from scalar: " + what);
    kernels.join[layout](planes.at, n, out);
    require(std::equal(source, source + nbytes, out), kernels, "join does not undo split: " + what);
    for (int p = 0; p < shape.plane_count; ++p) random.fill(planes.at[p], n);  // planes may come from hostile data
    kernels.join[layout](planes.at, n, out);
    kScalarKernels.join[layout](planes.at, n, reference);
    require(std::equal(out, out + nbytes, reference), kernels, "joins differently from scalar: " + what);
}

void check_planes(Random& random) {
    for (const Kernels* kernels : available_kernels())
        for (int layout = 0; layout < kLayoutCount; ++layout)
            for (size_t n = 0; n <= 300; ++n) check_layout(random, *kernels, layout, n, n % 3);
}

// --- joins beside decoding, splits beside encoding ------------------------------------------------------------------

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
        PendingCopy copy{from.tail(nbytes), place, nbytes};
        const Encoded own = encode(*kernels, plane, none, copy);
        const size_t done = nbytes - copy.nbytes;
        require(copy.from == from.tail(nbytes) + done && copy.to == place + done, *kernels, "loses its place in a copy");
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

// --- counting -------------------------------------------------------------------------------------------------------

/// Random bytes from `first` to `last`, added to a histogram that is not empty.
void check_count(Random& random, size_t nbytes, unsigned first, unsigned last) {
    const GuardedBytes memory(nbytes);
    uint8_t* data = memory.tail(nbytes);
    for (size_t i = 0; i < nbytes; ++i) data[i] = static_cast<uint8_t>(first + random.below(last - first + 1));
    Histogram before;
    before.add(static_cast<uint8_t>(random.next()), 1 + static_cast<uint32_t>(random.below(9)));
    Histogram wanted = before;
    for (size_t i = 0; i < nbytes; ++i) wanted.add(data[i], 1);
    for (const Kernels* kernels : available_kernels()) {
        Histogram own = before;
        kernels->count(data, nbytes, own);
        require(std::equal(own.count, own.count + 256, wanted.count) && own.total == wanted.total &&
                    own.first == wanted.first && own.last == wanted.last,
                *kernels, "counts differently: " + std::to_string(nbytes) + " bytes from " + std::to_string(first) + " to " +
                    std::to_string(last));
    }
}

void check_counts(Random& random) {
    for (size_t nbytes = 0; nbytes <= 300; ++nbytes) check_count(random, nbytes, 100, 120);
    for (int i = 0; i < 600; ++i) {
        const unsigned first = static_cast<unsigned>(random.below(256));
        const unsigned width = static_cast<unsigned>(random.below(i % 2 ? 80 : 256));
        check_count(random, random.below(5000), first, std::min(first + width, 255u));
    }
}

// --- CRC-32C --------------------------------------------------------------------------------------------------------

void check_crc(Random& random) {
    constexpr size_t kLongest = 20000;
    const GuardedBytes memory(kLongest);
    random.fill(memory.tail(kLongest), kLongest);
    const auto check = [&](const Kernels& kernels, size_t nbytes, size_t shift) {
        const uint8_t* data = memory.tail(nbytes + shift);
        const uint32_t whole = kScalarKernels.crc32c(0, data, nbytes);
        const size_t half = random.below(nbytes + 1);
        const std::string what = "CRC-32C differs from scalar: " + std::to_string(nbytes) + " bytes";
        require(kernels.crc32c(0, data, nbytes) == whole, kernels, what);
        require(kernels.crc32c(kernels.crc32c(0, data, half), data + half, nbytes - half) == whole, kernels,
                what + " in two parts");
    };
    for (const Kernels* kernels : available_kernels()) {
        const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
        require(kernels->crc32c(0, digits, sizeof digits) == 0xE3069283, *kernels, "CRC-32C misses the check value");
        for (size_t nbytes = 0; nbytes <= 600; ++nbytes)
            for (size_t shift = 0; shift < 16; ++shift) check(*kernels, nbytes, shift);
        for (int i = 0; i < 300; ++i) check(*kernels, random.below(kLongest - 16), random.below(16));
    }
}

}  // namespace

int main() {
    Random random(20240229);
    check_rans(random);
    check_planes(random);
    check_side_by_side(random);
    check_counts(random);
    check_crc(random);
    for (const Kernels* kernels : available_kernels()) std::printf("%s agrees\n", kernels->name);
}
