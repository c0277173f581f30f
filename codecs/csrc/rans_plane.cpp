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

constexpr unsigned kEscapeFlag = 4;

/// Clears the highest set bit and returns its number.
int take_highest(uint64_t& bits) {
    const int bit = 63 - std::countl_zero(bits);
    bits ^= 1ull << bit;
    return bit;
}

}  // namespace

void RansPlaneEncoder::start(const RansModel& model, size_t numel) {
    coder_.model = model;
    coder_.stream_count = stream_count_for(numel);
    escape_values_.clear();
    const size_t groups = group_count_for(numel);
    scratch_.resize(groups * kLanes);
    uint8_t* end = scratch_.data();
    for (int k = 0; k < coder_.stream_count; ++k) {
        end += stream_groups(groups, k, coder_.stream_count) * kLanes;
        stream_end_[k] = coder_.stream[k].out = end;
        std::fill_n(coder_.stream[k].state, kLanes, static_cast<uint16_t>(kStateFloor));
    }
    const int symbols = model.entry_count - model.has_escape;
    padding_ = model.symbol[std::max_element(model.freq, model.freq + symbols) - model.freq];
}

void RansPlaneEncoder::encode_tile(const Kernels& kernels, uint8_t* tile, size_t n) {
    const size_t groups = group_count_for(n);
    std::fill(tile + n, tile + groups * kLanes, padding_);
    TileEscapes escapes;
    kernels.rans_encode_tile(coder_, groups, tile, escapes);
    if (!coder_.model.has_escape) return;
    for (uint64_t with = escapes.groups; with;) {
        const size_t g = static_cast<size_t>(take_highest(with));
        for (uint64_t lanes = escapes.lanes[g]; lanes;)
            escape_values_.push_back(tile[g * kLanes + static_cast<size_t>(take_highest(lanes))]);
    }
}

size_t RansPlaneEncoder::payload_bound() const {
    return 1 + kMaxModelBytes + (1 + kMaxStreams) * kMaxVarint + frame_bound(escape_values_.size()) +
           kMaxStreams * sizeof(RansStream::state) + scratch_.size();
}

void RansPlaneEncoder::write_payload(const Kernels& kernels, int escape_depth, ByteWriter& out) {
    out.u8(static_cast<unsigned>(log2_of(coder_.stream_count)) | (coder_.model.has_escape ? kEscapeFlag : 0));
    write_model(coder_.model, out);
    if (coder_.model.has_escape) {
        out.varint(static_cast<uint32_t>(escape_values_.size()));
        std::reverse(escape_values_.begin(), escape_values_.end());
        if (!escape_values_.empty()) write_escape_values(kernels, escape_values_, escape_depth + 1, out);
    }
    for (int k = 0; k < coder_.stream_count; ++k)
        out.varint(static_cast<uint32_t>(stream_end_[k] - coder_.stream[k].out));
    for (int k = 0; k < coder_.stream_count; ++k) out.bytes(coder_.stream[k].state, sizeof coder_.stream[k].state);
    for (int k = 0; k < coder_.stream_count; ++k)
        out.bytes(coder_.stream[k].out, static_cast<size_t>(stream_end_[k] - coder_.stream[k].out));
}

Status RansPlaneDecoder::start(const Kernels& kernels, const uint8_t* payload, size_t nbytes, size_t numel,
                               int escape_depth) {
    ByteReader in(payload, nbytes);
    uint8_t flags;
    if (!in.u8(flags)) return {Fault::kTruncated};
    if (flags > (kEscapeFlag | 2) || (flags & 3) > 2) return {Fault::kModel, flags, kEscapeFlag | 2};
    coder_.stream_count = 1 << (flags & 3);
    if (Status s = read_model(in, flags & kEscapeFlag, coder_.model); !s.ok()) return s;
    escape_values_.clear();
    next_escape_ = 0;
    if (coder_.model.has_escape) {
        uint32_t count;
        if (Status s = read_varint(in, count); !s.ok()) return s;
        if (count > numel) return {Fault::kEscapes, count, numel};
        escape_values_.resize(count);
        if (count)
            if (Status s = read_escape_values(kernels, in, escape_depth + 1, escape_values_); !s.ok()) return s;
    }
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

Status RansPlaneDecoder::decode_tile(const Kernels& kernels, uint8_t* tile, size_t n) {
    const size_t groups = group_count_for(n);
    TileEscapes escapes;
    if (!kernels.rans_decode_tile(coder_, groups, tile, escapes)) return {Fault::kStreamEnd};
    if (!coder_.model.has_escape) return {};
    if (n % kLanes) {  // the padding is nobody's element
        uint64_t& last = escapes.lanes[groups - 1];
        last &= (1ull << n % kLanes) - 1;
        if (!last) escapes.groups &= ~(1ull << (groups - 1));
    }
    for (uint64_t with = escapes.groups; with; with &= with - 1) {
        const size_t g = static_cast<size_t>(std::countr_zero(with));
        uint64_t lanes = escapes.lanes[g];
        do {
            if (next_escape_ == escape_values_.size()) return {Fault::kEscapes, next_escape_ + 1, next_escape_};
            tile[g * kLanes + static_cast<size_t>(std::countr_zero(lanes))] = escape_values_[next_escape_++];
            lanes &= lanes - 1;
        } while (lanes);
    }
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
