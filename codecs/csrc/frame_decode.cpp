#include <algorithm>

#include "frame.h"
#include "header_plane.h"

namespace freebits {
namespace {

/// Where a plane's bytes come from while its frame is joined.
struct PlaneSource {
    PlaneCodec codec;
    const uint8_t* raw;
};

Status read_header(ByteReader& in, size_t out_nbytes, Layout& layout, size_t& numel, PlaneSource* sources) {
    uint8_t code;
    if (!in.u8(code)) return {Fault::kTruncated};
    if (code >= kLayoutCount) return {Fault::kLayout, code, kLayoutCount - 1};
    layout = static_cast<Layout>(code);
    uint32_t count;
    if (Status s = read_varint(in, count); !s.ok()) return s;
    numel = count;
    const size_t nbytes = numel * static_cast<size_t>(facts(layout).item_nbytes);
    if (!numel || nbytes > out_nbytes) return {Fault::kFrameSize, nbytes, out_nbytes};
    for (int p = 0; p < facts(layout).plane_count; ++p) {
        uint8_t codec;
        if (!in.u8(codec)) return {Fault::kTruncated};
        if (codec >= static_cast<uint8_t>(PlaneCodec::kCount)) return {Fault::kPlaneCodec, codec};
        sources[p].codec = static_cast<PlaneCodec>(codec);
    }
    return {};
}

/// Whether a plane of this codec may have so many elements here.
Status allow_whole(PlaneCodec codec, int plane_count, size_t numel, int escape_depth, FrameWorkspace& w) {
    if (codec == PlaneCodec::kHeader)
        return plane_count > 1 || escape_depth ? Status{Fault::kHeaderPlane, numel, 0} : Status{};
    if (numel > w.adaptive_left) return {Fault::kAdaptive, numel, w.adaptive_left};
    w.adaptive_left -= numel;
    return {};
}

/// Adaptive and header planes are short: all of one is decoded at once, and joined as if it had been stored so.
Status decode_whole(const uint8_t* payload, size_t nbytes, size_t numel, std::vector<uint8_t>& plane,
                    PlaneSource& source) {
    plane.resize(numel);
    const auto decode = source.codec == PlaneCodec::kHeader ? decode_header_plane : decode_adaptive;
    source = {PlaneCodec::kRaw, plane.data()};
    return decode(payload, nbytes, plane.data(), numel);
}

Status read_planes(const Kernels& kernels, ByteReader& in, int plane_count, size_t numel, int escape_depth,
                   FrameWorkspace& w, PlaneSource* sources) {
    for (int p = 0; p < plane_count; ++p) {
        if (has_payload(sources[p].codec)) continue;
        sources[p].raw = in.take(sources[p].codec == PlaneCodec::kRaw ? numel : 1);
        if (!sources[p].raw) return {Fault::kTruncated};
    }
    for (int p = 0; p < plane_count; ++p) {
        if (!has_payload(sources[p].codec)) continue;
        uint32_t nbytes;
        if (Status s = read_varint(in, nbytes); !s.ok()) return s;
        const uint8_t* payload = in.take(nbytes);
        if (!payload) return {Fault::kTruncated};
        if (sources[p].codec == PlaneCodec::kRans) {
            if (Status s = w.decoders[p].start(kernels, payload, nbytes, numel, escape_depth); !s.ok()) return s;
            continue;
        }
        if (Status s = allow_whole(sources[p].codec, plane_count, numel, escape_depth, w); !s.ok()) return s;
        if (Status s = decode_whole(payload, nbytes, numel, w.whole[p], sources[p]); !s.ok()) return s;
    }
    return {};
}

/// A tile's plane, with room in front for what is left of the tile before.
class TilePlane {
public:
    uint8_t* bytes() { return memory_ + kMaxLeft; }

private:
    alignas(64) uint8_t memory_[kMaxLeft + kTile];
};

void finish(const Kernels& kernels, PendingJoin& pending) {
    kernels.join[static_cast<int>(pending.layout)](pending.planes, pending.numel, pending.out);
    pending.numel = 0;
}

/// Finish a join but for less than a line, which the next one, of the elements behind it, takes along.
void pass_on(const Kernels& kernels, PendingJoin& pending, const PlaneSource* sources, TilePlane* tile, PendingJoin& next) {
    if (kernels.join_lines) kernels.join_lines(pending);
    if (!kernels.join_lines || pending.numel > kMaxLeft) return finish(kernels, pending);
    const LayoutFacts& f = facts(next.layout);
    for (int p = 0; p < f.plane_count; ++p) {
        next.planes[p] -= pending.numel;
        if (sources[p].codec != PlaneCodec::kRaw)
            std::copy_n(pending.planes[p], pending.numel, tile[p].bytes() - pending.numel);
    }
    next.out -= pending.numel * static_cast<size_t>(f.item_nbytes);
    next.numel += pending.numel;
}

/// Decode tile by tile; a tile is joined while the next one is decoded.
Status join_tiles(const Kernels& kernels, Layout layout, size_t numel, const PlaneSource* sources, FrameWorkspace& w,
                  uint8_t* out) {
    const LayoutFacts& f = facts(layout);
    TilePlane tiles[2][kMaxPlanes];
    for (int p = 0; p < f.plane_count; ++p)
        if (sources[p].codec == PlaneCodec::kConstant)
            for (auto& tile : tiles) std::fill_n(tile[p].bytes(), std::min(kTile, numel), *sources[p].raw);
    PendingJoin pending;
    for (size_t first = 0, turn = 0; first < numel; first += kTile, turn ^= 1) {
        const size_t n = std::min(kTile, numel - first);
        PendingJoin next{layout, w.past_cache, {}, out + first * static_cast<size_t>(f.item_nbytes), n};
        for (int p = 0; p < f.plane_count; ++p) {
            next.planes[p] = sources[p].codec == PlaneCodec::kRaw ? sources[p].raw + first : tiles[turn][p].bytes();
            if (sources[p].codec == PlaneCodec::kRans)
                if (Status s = w.decoders[p].decode_tile(kernels, tiles[turn][p].bytes(), n, pending); !s.ok()) return s;
        }
        if (pending.numel) pass_on(kernels, pending, sources, tiles[turn], next);
        pending = next;
    }
    finish(kernels, pending);
    for (int p = 0; p < f.plane_count; ++p)
        if (sources[p].codec == PlaneCodec::kRans)
            if (Status s = w.decoders[p].finish(); !s.ok()) return s;
    return {};
}

}  // namespace

Status decode_frame(const Kernels& kernels, ByteReader& in, int escape_depth, FrameWorkspace& w, uint8_t* out,
                    size_t out_nbytes, size_t& used) {
    if (escape_depth > kMaxEscapeDepth + 1) return {Fault::kNesting, static_cast<uint64_t>(escape_depth)};
    Layout layout;
    size_t numel;
    PlaneSource sources[kMaxPlanes];
    if (Status s = read_header(in, out_nbytes, layout, numel, sources); !s.ok()) return s;
    if (Status s = read_planes(kernels, in, facts(layout).plane_count, numel, escape_depth, w, sources); !s.ok())
        return s;
    used = numel * static_cast<size_t>(facts(layout).item_nbytes);
    return join_tiles(kernels, layout, numel, sources, w, out);
}

Status read_escape_values(const Kernels& kernels, ByteReader& in, int escape_depth, std::vector<uint8_t>& values) {
    FrameWorkspace nested;
    size_t used = 0;
    if (Status s = decode_frame(kernels, in, escape_depth, nested, values.data(), values.size(), used); !s.ok())
        return s;
    if (used != values.size()) return {Fault::kEscapes, used, values.size()};
    return {};
}

}  // namespace freebits
