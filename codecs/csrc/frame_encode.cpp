#include <algorithm>

#include "frame_plan.h"
#include "repeats.h"

namespace freebits {
namespace {

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
            if (plan.plane[p].codec == PlaneCodec::kRans) w.encoders[p].encode_tile(kernels, bytes, n, pending, w.move.piece);
            if (plan.plane[p].codec != PlaneCodec::kConstant) continue;
            if (first + n == numel) *raw[p] = *bytes;
            if (*bytes != *raw[p] || std::memcmp(bytes, bytes + 1, n - 1)) return p;
        }
        w.move.go_on(kernels);
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
    size_t tail_nbytes = 0;  // of its end, which is not there
};

/// Written to where it is to stay, if there is room and its length takes as many bytes as that of the bound; else to buffer.
/// The streams may be left where they are.
Payload rans_payload(const Kernels& kernels, RansPlaneEncoder& encoder, int escape_depth, const ByteWriter& writer,
                     const uint8_t* end, bool leave_streams, ScratchBuffer& buffer) {
    const size_t bound = encoder.payload_bound();
    uint8_t* place = writer.at() + varint_nbytes(bound);
    if (place + bound > end) place = buffer.grow(bound);
    ByteWriter payload(place);
    encoder.write_head(kernels, escape_depth, payload);
    if (!leave_streams) encoder.write_streams(payload);
    return {place, static_cast<size_t>(payload.at() - place), leave_streams ? encoder.streams_nbytes() : 0};
}

Payload adaptive_payload(const std::vector<uint8_t>& plane, std::vector<uint8_t>& buffer) {
    encode_adaptive(plane.data(), plane.size(), buffer);
    return {buffer.data(), buffer.size()};
}

/// The plane whose payload ends the frame, or -1.
int last_with_payload(Layout layout, const FramePlan& plan) {
    int p = facts(layout).plane_count - 1;
    while (p >= 0 && !has_payload(plan.plane[p].codec)) --p;
    return p;
}

/// What is coded of the planes, when their tiles are.
Outcome write_payloads(const Kernels& kernels, Layout layout, size_t numel, int escape_depth, FramePlan& plan,
                       FrameWorkspace& w, ByteWriter& writer, const uint8_t* end) {
    const int last = last_with_payload(layout, plan);
    for (int p = 0; p <= last; ++p) {
        if (!has_payload(plan.plane[p].codec)) continue;
        const bool leave_streams = p == last && w.may_leave_tail && plan.plane[p].codec == PlaneCodec::kRans;
        const Payload payload =
            plan.plane[p].codec == PlaneCodec::kRans
                ? rans_payload(kernels, w.encoders[p], escape_depth, writer, end, leave_streams, w.payload)
                : adaptive_payload(w.whole[p], w.adaptive_payload);
        const size_t payload_nbytes = payload.nbytes + payload.tail_nbytes;
        if (payload_nbytes + kMaxVarint > numel) {
            plan.plane[p].codec = PlaneCodec::kRaw;
            return Outcome::kReplan;
        }
        if (writer.at() + kMaxVarint + payload_nbytes > end) return Outcome::kTooLarge;
        writer.varint(static_cast<uint32_t>(payload_nbytes));
        if (writer.at() != payload.data) std::memmove(writer.at(), payload.data, payload.nbytes);
        writer.skip(payload.nbytes);
        if (leave_streams) w.tail = w.encoders[p].leave_streams();
    }
    return Outcome::kWritten;
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
        if (plan.plane[p].codec == PlaneCodec::kAdaptive) w.whole[p].resize(numel), raw[p] = w.whole[p].data();
    }
    if (const int p = encode_tiles(kernels, layout, in, numel, plan, w, raw); p >= 0) {
        plan.plane[p].codec = PlaneCodec::kRans;
        return Outcome::kReplan;
    }
    const Outcome outcome = write_payloads(kernels, layout, numel, escape_depth, plan, w, writer, end);
    if (outcome == Outcome::kWritten) out = writer;
    return outcome;
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
    if (layout == Layout::kBytes || layout >= Layout::kInt16 ||
        has_repeats(w.sample.data(), w.sample_stride, static_cast<size_t>(f.plane_count), taken))
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

void write_escape_values(const Kernels& kernels, const uint8_t* values, size_t count, int escape_depth, ByteWriter& out) {
    if (escape_depth > kMaxEscapeDepth) return write_raw_frame(values, count, out);
    FrameWorkspace nested;
    FrameNotes ignored;
    encode_frame(kernels, Layout::kBytes, values, count, Effort::kEntropy, escape_depth, nested, out,
                 ignored);
}

}  // namespace freebits
