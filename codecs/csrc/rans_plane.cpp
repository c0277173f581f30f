#include "rans_plane.h"

#include <algorithm>
#include <bit>

#include "frame.h"

namespace freebits {
namespace {

/// Groups that stream k of `streams` gets out of `groups`.
size_t stream_groups(size_t groups, int k, int streams) {
    return (groups + static_cast<size_t>(streams - 1 - k)) / static_cast<size_t>(streams);
}

int log2_of(int stream_count) { return std::countr_zero(static_cast<unsigned>(stream_count)); }

uint8_t likeliest(const RansModel& model) {
    const int symbols = model.entry_count - model.has_escape;
    return model.symbol[std::max_element(model.freq, model.freq + symbols) - model.freq];
}

}  // namespace

void RansPlaneEncoder::start(const PlaneModels& plan, size_t numel) {
    plan_ = &plan;
    segment_ = plan.segments.size();
    tiles_left_ = 0;
    has_escape_ = std::any_of(plan.models.begin(), plan.models.end(), [](const RansModel& m) { return m.has_escape; });
    coder_.stream_count = stream_count_for(numel);
    const size_t groups = group_count_for(numel);
    escape_count_ = 0;
    uint8_t* end = scratch_[turn_].grow(groups * kLanes);
    for (int k = 0; k < coder_.stream_count; ++k) {
        end += stream_groups(groups, k, coder_.stream_count) * kLanes;
        stream_end_[k] = coder_.stream[k].out = end;
        std::fill_n(coder_.stream[k].state, kLanes, static_cast<uint16_t>(kStateFloor));
    }
}

void RansPlaneEncoder::encode_tile(const Kernels& kernels, uint8_t* tile, size_t n, PendingSplit& pending,
                                   PendingCopy& copy) {
    if (!tiles_left_) {
        const ModelSegment& segment = plan_->segments[--segment_];
        tiles_left_ = segment.tile_count;
        coder_.model = plan_->models[segment.model];
    }
    --tiles_left_;
    const size_t groups = group_count_for(n);
    if (n % kLanes) std::fill(tile + n, tile + groups * kLanes, likeliest(coder_.model));  // never an escape
    TileEscapes escapes;
    kernels.rans_encode_tile(coder_, groups, tile, escapes, pending, copy);
    if (coder_.model.has_escape && escapes.groups) keep_escapes(kernels, tile, escapes);
}

void RansPlaneEncoder::keep_escapes(const Kernels& kernels, const uint8_t* tile, const TileEscapes& escapes) {
    if (escape_values_.size() < escape_count_ + kTile) {
        std::vector<uint8_t> larger(2 * escape_count_ + 2 * kTile);
        std::copy_n(escape_values_.end() - static_cast<ptrdiff_t>(escape_count_), escape_count_,
                    larger.end() - static_cast<ptrdiff_t>(escape_count_));
        escape_values_.swap(larger);
    }
    uint8_t* end = escape_values_.data() + escape_values_.size();
    const uint8_t* first = kernels.gather_escapes(tile, escapes, end - escape_count_);
    escape_count_ = static_cast<size_t>(end - first);
}

size_t RansPlaneEncoder::streams_nbytes() const {
    size_t sum = 0;
    for (int k = 0; k < coder_.stream_count; ++k) sum += stream(k).size();
    return sum;
}

size_t RansPlaneEncoder::payload_bound() const {
    return 1 + 2 * kMaxVarint + plan_->segments.size() * (1 + kMaxVarint) + plan_->models.size() * kMaxModelBytes +
           kMaxStreams * (kMaxVarint + sizeof(RansStream::state)) + frame_bound(escape_count_) +
           streams_nbytes();
}

void RansPlaneEncoder::write_models(ByteWriter& out) const {
    out.varint(static_cast<uint32_t>(plan_->segments.size()));
    size_t written = 0;
    for (const ModelSegment& segment : plan_->segments) {
        out.varint(segment.tile_count);
        out.u8(segment.model);
        if (segment.model < written) continue;
        write_model(plan_->models[segment.model], out);
        ++written;
    }
}

void RansPlaneEncoder::write_head(const Kernels& kernels, int escape_depth, ByteWriter& out) {
    out.u8(static_cast<unsigned>(log2_of(coder_.stream_count)));
    write_models(out);
    if (has_escape_) {
        out.varint(static_cast<uint32_t>(escape_count_));
        const uint8_t* first = escape_values_.data() + escape_values_.size() - escape_count_;
        if (escape_count_) write_escape_values(kernels, first, escape_count_, escape_depth + 1, out);
    }
    for (int k = 0; k < coder_.stream_count; ++k) out.varint(static_cast<uint32_t>(stream(k).size()));
    for (int k = 0; k < coder_.stream_count; ++k) out.bytes(coder_.stream[k].state, sizeof coder_.stream[k].state);
}

void RansPlaneEncoder::write_streams(ByteWriter& out) const {
    for (int k = 0; k < coder_.stream_count; ++k) out.bytes(stream(k).data(), stream(k).size());
}

PayloadTail RansPlaneEncoder::leave_streams() {
    PayloadTail tail;
    for (int k = 0; k < coder_.stream_count; ++k) tail.add(stream(k));
    turn_ = !turn_;
    return tail;
}

/// Segments with their models, each model where it is first used; they must cover the plane's tiles.
Status RansPlaneDecoder::read_models(ByteReader& in, size_t numel, bool& has_escape) {
    plan_.models.clear();
    plan_.segments.clear();
    has_escape = false;
    const uint64_t tiles = (numel + kTile - 1) / kTile;
    uint32_t count;
    if (Status s = read_varint(in, count); !s.ok()) return s;
    if (!count || count > tiles) return {Fault::kModel, count, tiles};
    uint64_t covered = 0;
    for (uint32_t i = 0; i < count; ++i) {
        ModelSegment segment;
        if (Status s = read_varint(in, segment.tile_count); !s.ok()) return s;
        if (!in.u8(segment.model)) return {Fault::kTruncated};
        if (segment.model > plan_.models.size() || segment.model >= kMaxModels || !segment.tile_count)
            return {Fault::kModel, segment.model, plan_.models.size()};
        if (segment.model == plan_.models.size()) {
            plan_.models.emplace_back();
            if (Status s = read_model(in, plan_.models.back()); !s.ok()) return s;
            has_escape |= plan_.models.back().has_escape;
        }
        covered += segment.tile_count;
        plan_.segments.push_back(segment);
    }
    if (covered != tiles) return {Fault::kModel, covered, tiles};
    return {};
}

Status RansPlaneDecoder::read_escapes(const Kernels& kernels, ByteReader& in, size_t numel, int escape_depth) {
    uint32_t count;
    if (Status s = read_varint(in, count); !s.ok()) return s;
    if (count > numel) return {Fault::kEscapes, count, numel};
    escape_values_.resize(count);
    return count ? read_escape_values(kernels, in, escape_depth + 1, escape_values_) : Status{};
}

Status RansPlaneDecoder::start(const Kernels& kernels, const uint8_t* payload, size_t nbytes, size_t numel,
                               int escape_depth) {
    ByteReader in(payload, nbytes);
    uint8_t log2_streams;
    if (!in.u8(log2_streams)) return {Fault::kTruncated};
    if (log2_streams > log2_of(kMaxStreams)) return {Fault::kModel, log2_streams, 2};
    coder_.stream_count = 1 << log2_streams;
    bool has_escape;
    if (Status s = read_models(in, numel, has_escape); !s.ok()) return s;
    segment_ = tiles_left_ = 0;
    escape_values_.clear();
    next_escape_ = 0;
    if (has_escape)
        if (Status s = read_escapes(kernels, in, numel, escape_depth); !s.ok()) return s;
    uint32_t stream_nbytes[kMaxStreams];
    for (int k = 0; k < coder_.stream_count; ++k)
        if (Status s = read_varint(in, stream_nbytes[k]); !s.ok()) return s;
    for (int k = 0; k < coder_.stream_count; ++k) {
        const uint8_t* states = in.take(sizeof coder_.stream[k].state);
        if (!states) return {Fault::kTruncated};
        std::memcpy(coder_.stream[k].state, states, sizeof coder_.stream[k].state);
    }
    for (int k = 0; k < coder_.stream_count; ++k) {
        coder_.stream[k].in = in.take(stream_nbytes[k]);
        if (!coder_.stream[k].in) return {Fault::kTruncated};
        stream_end_[k] = coder_.stream[k].in + stream_nbytes[k];
    }
    coder_.in_end = in.at();
    if (in.left()) return {Fault::kPlaneSize, nbytes, nbytes - in.left()};
    return {};
}

Status RansPlaneDecoder::decode_tile(const Kernels& kernels, uint8_t* tile, size_t n, PendingJoin& pending) {
    if (!tiles_left_) {
        const ModelSegment& segment = plan_.segments[segment_++];
        tiles_left_ = segment.tile_count;
        coder_.model = plan_.models[segment.model];
    }
    --tiles_left_;
    const size_t groups = group_count_for(n);
    TileEscapes escapes;
    if (!kernels.rans_decode_tile(coder_, groups, tile, escapes, pending)) return {Fault::kStreamEnd};
    if (!coder_.model.has_escape) return {};
    if (n % kLanes) {  // the padding is nobody's element
        uint64_t& last = escapes.lanes[groups - 1];
        last &= (1ull << n % kLanes) - 1;
        if (!last) escapes.groups &= ~(1ull << (groups - 1));
    }
    const size_t left = escape_values_.size() - next_escape_;
    const size_t taken = kernels.scatter_escapes(tile, escapes, escape_values_.data() + next_escape_, left);
    if (taken > left) return {Fault::kEscapes, escape_values_.size() + 1, escape_values_.size()};
    next_escape_ += taken;
    return {};
}

Status RansPlaneDecoder::finish() const {
    if (next_escape_ != escape_values_.size()) return {Fault::kEscapes, next_escape_, escape_values_.size()};
    for (int k = 0; k < coder_.stream_count; ++k) {
        if (coder_.stream[k].in != stream_end_[k]) return {Fault::kStreamEnd};
        for (uint16_t state : coder_.stream[k].state)
            if (state != kStateFloor) return {Fault::kStreamEnd, state, kStateFloor};
    }
    return {};
}

}  // namespace freebits
