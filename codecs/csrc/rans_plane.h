// One rANS-coded plane: its bytes in a frame (FORMAT.md, "rANS plane"), coded tile by tile so that planes are joined or
// split while they are in L1.
#pragma once

#include <span>
#include <vector>

#include "model_plan.h"
#include "payload_move.h"
#include "rans_kernel.h"
#include "status.h"

namespace freebits {

inline constexpr int kMaxEscapeDepth = 1;  // escape values are a frame of bytes, whose own escape values are raw

/// Streams of a plane: more hide the decoder's latency, each costs 128 bytes of states.
inline int stream_count_for(size_t numel) { return numel >= (1u << 18) ? 4 : numel >= (1u << 16) ? 2 : 1; }
inline size_t group_count_for(size_t numel) { return (numel + kLanes - 1) / kLanes; }

class RansPlaneEncoder {
public:
    /// numel elements will come, last tile first, coded with the plan's models (kept by reference).
    void start(const PlaneModels& plan, size_t numel);
    /// Encode the n bytes of a tile; tile[] has room to be padded to whole groups. Part of `pending`, a split of other
    /// memory, and of `copy` may be done on the way.
    void encode_tile(const Kernels& kernels, uint8_t* tile, size_t n, PendingSplit& pending, PendingCopy& copy);
    /// Bytes the payload may take at most, once all tiles are in.
    size_t payload_bound() const;
    /// All of the payload but the streams, which come behind it.
    void write_head(const Kernels& kernels, int escape_depth, ByteWriter& out);
    void write_streams(ByteWriter& out) const;
    size_t streams_nbytes() const;
    /// The streams, which stay where they are until this is called for another plane.
    PayloadTail leave_streams();

private:
    void keep_escapes(const Kernels& kernels, const uint8_t* tile, const TileEscapes& escapes);
    void write_models(ByteWriter& out) const;
    std::span<const uint8_t> stream(int k) const { return {coder_.stream[k].out, stream_end_[k]}; }
    const PlaneModels* plan_ = nullptr;
    size_t segment_ = 0, tiles_left_ = 0;  // of the segment at hand, counted from the end
    RansCoder coder_;
    ScratchBuffer scratch_[2];  // for streams: of this plane, and of one that was left
    bool turn_ = false;
    uint8_t* stream_end_[kMaxStreams];
    std::vector<uint8_t> escape_values_;  // those so far are the last escape_count_; earlier ones come before them
    size_t escape_count_ = 0;
    bool has_escape_ = false;
};

class RansPlaneDecoder {
public:
    /// Parse everything but the streams; payload[0..nbytes) is the plane.
    Status start(const Kernels& kernels, const uint8_t* payload, size_t nbytes, size_t numel, int escape_depth);
    /// Decode the next n elements (kTile, or what is left) into tile[], which has room for whole groups. Part of `pending`,
    /// a join of other memory, may be done on the way.
    Status decode_tile(const Kernels& kernels, uint8_t* tile, size_t n, PendingJoin& pending);
    /// All elements decoded: every stream must be used up and every lane back at its start.
    Status finish() const;

private:
    Status read_models(ByteReader& in, size_t numel, bool& has_escape);
    Status read_escapes(const Kernels& kernels, ByteReader& in, size_t numel, int escape_depth);
    PlaneModels plan_;
    size_t segment_ = 0, tiles_left_ = 0;  // of the segment at hand
    RansCoder coder_;
    const uint8_t* stream_end_[kMaxStreams];
    std::vector<uint8_t> escape_values_;
    size_t next_escape_ = 0;
};

}  // namespace freebits
