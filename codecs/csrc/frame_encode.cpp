#include <algorithm>

#include "frame.h"
#include "repeats.h"

namespace freebits {
namespace {

constexpr size_t kSampleRun = 256;           // elements taken in a row
constexpr size_t kExactLimit = 1 << 16;      // up to this many elements everything is counted
constexpr size_t kRawSampleDivisor = 4;      // planes that are expected to be noise are judged by fewer
constexpr uint32_t kEightBits = 8u << 16;
constexpr uint32_t kNoiseEntropy = kEightBits - (kEightBits >> 6);  // above 7.875 bits a byte is noise

struct PlanePlan {
    PlaneCodec codec = PlaneCodec::kRaw;
    uint32_t entropy_q16 = 0;  // at a glance
    PlaneModels models;
};

struct FramePlan {
    PlanePlan plane[kMaxPlanes];
};

struct PlanePointers {
    uint8_t* at[kMaxPlanes];
    PlanePointers(uint8_t* base, size_t stride, int count) {
        for (int p = 0; p < count; ++p) at[p] = base + static_cast<size_t>(p) * stride;
    }
};

/// The hardware does not follow jumps by itself.
void prefetch(const uint8_t* data, size_t nbytes) {
    for (size_t i = 0; i < nbytes; i += 64) __builtin_prefetch(data + i);
}

/// The planes of a sample of the elements (all of them when there are few), side by side in w.sample, and where in it
/// each unit of the model plan ends. Returns the number of elements taken.
size_t sample_planes(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, FrameWorkspace& w) {
    const LayoutFacts& f = facts(layout);
    const size_t item = static_cast<size_t>(f.item_nbytes), unit = unit_tiles(numel) * kTile;
    const size_t units = (numel + unit - 1) / unit;
    const size_t wanted = numel <= kExactLimit ? unit : std::min(unit, f.sample_elements / units);
    const size_t runs = std::max<size_t>(1, wanted / kSampleRun);
    w.unit_ends.clear();
    w.sample.resize(units * runs * kSampleRun * static_cast<size_t>(f.plane_count));
    const size_t stride = units * runs * kSampleRun;
    PlanePointers planes(w.sample.data(), stride, f.plane_count);
    size_t taken = 0;
    for (size_t first = 0; first < numel; first += unit) {
        const size_t n = std::min(unit, numel - first), step = std::max(kSampleRun, n / runs);
        for (size_t at = 0, r = 0; at < n && r < runs; at += step, ++r) {
            const size_t count = std::min(kSampleRun, n - at);
            const size_t ahead = std::min(first + at + 4 * step, numel - count);
            prefetch(in + ahead * item, count * item);
            kernels.split[static_cast<int>(layout)](in + (first + at) * item, count, planes.at);
            for (int p = 0; p < f.plane_count; ++p) planes.at[p] += count;
            taken += count;
        }
        w.unit_ends.push_back(taken);
    }
    return taken;
}

/// Every run's head: enough to see whether a plane is noise.
Histogram glance(const uint8_t* plane, size_t n) {
    Histogram h;
    if (n <= kSampleRun * kRawSampleDivisor) {
        h.add(plane, n);
        return h;
    }
    const size_t part = kSampleRun / kRawSampleDivisor;
    for (size_t i = 0; i + kSampleRun <= n; i += kSampleRun) h.add(plane + i, part);
    return h;
}

void count_units(const uint8_t* plane, const std::vector<size_t>& ends, std::vector<Histogram>& units) {
    units.assign(ends.size(), {});
    size_t first = 0;
    for (size_t u = 0; u < ends.size(); first = ends[u++]) units[u].add(plane + first, ends[u] - first);
}

bool all_one_byte(const std::vector<Histogram>& units) {
    const uint32_t* first = std::find_if(units[0].count, units[0].count + 256, [](uint32_t c) { return c != 0; });
    const auto byte = first - units[0].count;
    return std::all_of(units.begin(), units.end(), [&](const Histogram& h) { return h.count[byte] == h.total; });
}

PlanePlan plan_plane(const uint8_t* plane, size_t taken, size_t numel, bool exponent, FrameWorkspace& w) {
    PlanePlan plan;
    plan.entropy_q16 = glance(plane, taken).entropy_q16();
    if (!exponent && plan.entropy_q16 > kNoiseEntropy) return plan;
    count_units(plane, w.unit_ends, w.units);
    const bool sampled = taken < numel;
    plan.codec = all_one_byte(w.units) ? PlaneCodec::kConstant : PlaneCodec::kRans;
    if (plan.codec == PlaneCodec::kConstant && !sampled) return plan;
    plan.models = plan_models(w.units, numel, sampled);  // a constant's, too: the rest may turn out to differ
    const uint64_t payload = models_cost_nbytes(plan.models, w.units, numel) +
                             static_cast<uint64_t>(stream_count_for(numel)) * sizeof(RansStream::state);
    if (payload >= numel && plan.codec == PlaneCodec::kRans) plan.codec = PlaneCodec::kRaw;
    return plan;
}

/// What the plan becomes with an effort. Adaptive coding needs no models, so that it is tried where rANS gave up, too.
PlaneCodec codec_for(const PlanePlan& plan, size_t numel, Effort effort, FrameWorkspace& w) {
    if (plan.codec == PlaneCodec::kConstant) return plan.codec;
    if (effort == Effort::kSplitOnly) return PlaneCodec::kRaw;
    if (effort != Effort::kAdaptive || numel > w.adaptive_left || plan.entropy_q16 > kNoiseEntropy) return plan.codec;
    w.adaptive_left -= numel;
    return PlaneCodec::kAdaptive;
}

/// Plans for all planes; returns how many elements were looked at.
size_t plan_frame(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, Effort effort,
                  FrameWorkspace& w, FramePlan& plan) {
    const LayoutFacts& f = facts(layout);
    const size_t taken = sample_planes(kernels, layout, in, numel, w);
    const size_t stride = w.sample.size() / static_cast<size_t>(f.plane_count);
    for (int p = 0; p < f.plane_count; ++p) {
        plan.plane[p] =
            plan_plane(w.sample.data() + static_cast<size_t>(p) * stride, taken, numel, p < f.exponent_planes, w);
        plan.plane[p].codec = codec_for(plan.plane[p], numel, effort, w);
    }
    return taken;
}

/// The planes of a tile that are not written straight to the frame.
struct Tile {
    alignas(64) uint8_t planes[kMaxPlanes][kTile];
};

bool is_whole(PlaneCodec codec) { return codec == PlaneCodec::kRaw || codec == PlaneCodec::kAdaptive; }

/// The split of elements [first, first + n): of raw and adaptive planes all is put together, in the frame or beside it;
/// others go to the tile.
PendingSplit split_of(Layout layout, const uint8_t* in, size_t first, size_t n, const FramePlan& plan, Tile& tile,
                      uint8_t* const* raw) {
    const LayoutFacts& f = facts(layout);
    PendingSplit split{layout, in + first * static_cast<size_t>(f.item_nbytes), {}, n};
    for (int p = 0; p < f.plane_count; ++p)
        split.planes[p] = is_whole(plan.plane[p].codec) ? raw[p] + first : tile.planes[p];
    return split;
}

/// Split and code tile by tile, the last one first; a tile is split while the one behind it is coded.
/// Returns a plane that was planned constant and is not, or -1.
int encode_tiles(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, const FramePlan& plan,
                 FrameWorkspace& w, uint8_t* const* raw) {
    Tile tiles[2];
    size_t first = (numel - 1) / kTile * kTile, n = numel - first;
    PendingSplit pending = split_of(layout, in, first, n, plan, tiles[0], raw);
    for (size_t turn = 0;; turn ^= 1) {
        kernels.split[static_cast<int>(layout)](pending.in, pending.numel, pending.planes);
        pending.numel = 0;
        if (first) pending = split_of(layout, in, first - kTile, kTile, plan, tiles[turn ^ 1], raw);
        for (int p = 0; p < facts(layout).plane_count; ++p) {
            uint8_t* bytes = tiles[turn].planes[p];
            if (plan.plane[p].codec == PlaneCodec::kRans) w.encoders[p].encode_tile(kernels, bytes, n, pending);
            if (plan.plane[p].codec != PlaneCodec::kConstant) continue;
            if (first + n == numel) *raw[p] = *bytes;
            if (*bytes != *raw[p] || std::memcmp(bytes, bytes + 1, n - 1)) return p;
        }
        if (!first) return -1;
        first -= kTile;
        n = kTile;
    }
}

void write_raw_frame(const uint8_t* in, size_t nbytes, ByteWriter& out) {
    out.u8(static_cast<unsigned>(Layout::kBytes));
    out.varint(static_cast<uint32_t>(nbytes));
    out.u8(static_cast<unsigned>(PlaneCodec::kRaw));
    out.bytes(in, nbytes);
}

enum class Outcome { kWritten, kReplan, kTooLarge };

/// Bytes a frame takes before its rANS payloads.
size_t planned_nbytes(Layout layout, size_t numel, const FramePlan& plan) {
    size_t sum = 0;
    for (int p = 0; p < facts(layout).plane_count; ++p) {
        if (plan.plane[p].codec == PlaneCodec::kRaw) sum += numel;
        if (plan.plane[p].codec == PlaneCodec::kConstant) sum += 1;
    }
    return sum;
}

struct Payload {
    const uint8_t* data;
    size_t nbytes;
};

/// Written to where it is to stay, if there is room and its length takes as many bytes as that of the bound; else to buffer.
Payload rans_payload(const Kernels& kernels, RansPlaneEncoder& encoder, int escape_depth, const ByteWriter& writer,
                     const uint8_t* end, std::vector<uint8_t>& buffer) {
    const size_t bound = encoder.payload_bound();
    uint8_t* place = writer.at() + varint_nbytes(bound);
    if (place + bound > end) {
        buffer.resize(bound);
        place = buffer.data();
    }
    ByteWriter payload(place);
    encoder.write_payload(kernels, escape_depth, payload);
    return {place, static_cast<size_t>(payload.at() - place)};
}

Payload adaptive_payload(const std::vector<uint8_t>& plane, std::vector<uint8_t>& buffer) {
    encode_adaptive(plane.data(), plane.size(), buffer);
    return {buffer.data(), buffer.size()};
}

/// Write the frame as planned. kReplan: a plane's codec had to be changed. Never writes past frame_bound(nbytes).
/// Planes that save nothing are given up for the elements as they are, but not where zstd is to see planes.
Outcome try_plan(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, Effort effort,
                 int escape_depth, FramePlan& plan, FrameWorkspace& w, ByteWriter& out) {
    const LayoutFacts& f = facts(layout);
    const size_t nbytes = numel * static_cast<size_t>(f.item_nbytes);
    const size_t planned = planned_nbytes(layout, numel, plan);
    if (planned > nbytes || (planned == nbytes && effort != Effort::kSplitOnly)) return Outcome::kTooLarge;
    const uint8_t* end = out.at() + frame_bound(nbytes);
    ByteWriter writer = out;
    writer.u8(static_cast<unsigned>(layout));
    writer.varint(static_cast<uint32_t>(numel));
    for (int p = 0; p < f.plane_count; ++p) writer.u8(static_cast<unsigned>(plan.plane[p].codec));
    uint8_t* raw[kMaxPlanes] = {};
    for (int p = 0; p < f.plane_count; ++p) {
        if (plan.plane[p].codec == PlaneCodec::kRaw) raw[p] = writer.skip(numel);
        if (plan.plane[p].codec == PlaneCodec::kConstant) raw[p] = writer.skip(1);
        if (plan.plane[p].codec == PlaneCodec::kRans) w.encoders[p].start(plan.plane[p].models, numel);
        if (plan.plane[p].codec == PlaneCodec::kAdaptive) w.adaptive[p].resize(numel), raw[p] = w.adaptive[p].data();
    }
    if (const int p = encode_tiles(kernels, layout, in, numel, plan, w, raw); p >= 0) {
        plan.plane[p].codec = PlaneCodec::kRans;
        return Outcome::kReplan;
    }
    for (int p = 0; p < f.plane_count; ++p) {
        if (!has_payload(plan.plane[p].codec)) continue;
        const Payload payload = plan.plane[p].codec == PlaneCodec::kRans
                                    ? rans_payload(kernels, w.encoders[p], escape_depth, writer, end, w.payload)
                                    : adaptive_payload(w.adaptive[p], w.payload);
        if (payload.nbytes + kMaxVarint > numel) {
            plan.plane[p].codec = PlaneCodec::kRaw;
            return Outcome::kReplan;
        }
        if (writer.at() + kMaxVarint + payload.nbytes > end) return Outcome::kTooLarge;
        writer.varint(static_cast<uint32_t>(payload.nbytes));
        if (writer.at() != payload.data) std::memmove(writer.at(), payload.data, payload.nbytes);
        writer.skip(payload.nbytes);
    }
    out = writer;
    return Outcome::kWritten;
}

/// Bytes of a plane that zstd may still make something of.
size_t weak_nbytes(const PlanePlan& plan, size_t numel) {
    constexpr uint32_t kOneBit = 1u << 16;
    if (plan.codec == PlaneCodec::kRaw) return plan.entropy_q16 <= kNoiseEntropy ? numel : 0;
    return plan.codec == PlaneCodec::kRans && plan.entropy_q16 < kOneBit ? numel : 0;
}

void take_notes(Layout layout, size_t taken, size_t numel, const FramePlan& plan, const FrameWorkspace& w,
                FrameNotes& notes) {
    const LayoutFacts& f = facts(layout);
    const size_t nbytes = numel * static_cast<size_t>(f.item_nbytes);
    const size_t stride = w.sample.size() / static_cast<size_t>(f.plane_count);
    if (layout == Layout::kBytes || layout >= Layout::kInt16 ||
        has_repeats(w.sample.data(), stride, static_cast<size_t>(f.plane_count), taken))
        notes.repetitive_nbytes += nbytes;
    for (int p = 0; p < f.plane_count; ++p)
        notes.compressible_nbytes += weak_nbytes(plan.plane[p], numel);
}

/// Where planes are left to zstd: they may not be longer than the elements, as F16's three would be.
Layout split_for_zstd(Layout layout) { return layout == Layout::kF16 ? Layout::kInt16 : layout; }

}  // namespace

void encode_frame(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, Effort effort,
                  int escape_depth, FrameWorkspace& w, ByteWriter& out, FrameNotes& notes) {
    FramePlan plan;
    if (effort == Effort::kSplitOnly) layout = split_for_zstd(layout);
    const bool text_like = layout == Layout::kBytes && escape_depth == 0;  // left to zstd, which sees words, not bytes
    const size_t taken =
        plan_frame(kernels, layout, in, numel, text_like ? Effort::kSplitOnly : effort, w, plan);
    take_notes(layout, taken, numel, plan, w, notes);
    Outcome outcome;
    do {
        outcome = try_plan(kernels, layout, in, numel, effort, escape_depth, plan, w, out);
    } while (outcome == Outcome::kReplan);
    if (outcome == Outcome::kTooLarge)
        write_raw_frame(in, numel * static_cast<size_t>(facts(layout).item_nbytes), out);
}

void write_escape_values(const Kernels& kernels, const std::vector<uint8_t>& values, int escape_depth,
                         ByteWriter& out) {
    if (escape_depth > kMaxEscapeDepth) return write_raw_frame(values.data(), values.size(), out);
    FrameWorkspace nested;
    FrameNotes ignored;
    encode_frame(kernels, Layout::kBytes, values.data(), values.size(), Effort::kEntropy, escape_depth, nested, out,
                 ignored);
}

}  // namespace freebits
