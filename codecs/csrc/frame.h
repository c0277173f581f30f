// A frame: a run of elements of one layout, split into planes, each plane stored raw, constant or rANS-coded
// (FORMAT.md, "Frame"). Frames follow each other inside a chunk.
#pragma once

#include <vector>

#include "adaptive.h"
#include "bytes.h"
#include "layout.h"
#include "payload_move.h"
#include "rans_plane.h"
#include "status.h"

namespace freebits {

/// The most bytes a frame of nbytes of elements can take: raw bytes under a header.
inline constexpr size_t kMaxFrameHeader = 1 + kMaxVarint + kMaxPlanes * (1 + kMaxVarint);
inline constexpr size_t frame_bound(size_t nbytes) { return nbytes + kMaxFrameHeader; }

/// What the encoder noticed and the container's planner may use.
struct FrameNotes {
    size_t compressible_nbytes = 0;  // bytes left raw though their order-0 entropy is well below 8 bits
    size_t repetitive_nbytes = 0;       // bytes of layouts where matches (LZ) are likely
};

/// Buffers of one thread, reused from frame to frame.
struct FrameWorkspace {
    RansPlaneEncoder encoders[kMaxPlanes];
    RansPlaneDecoder decoders[kMaxPlanes];
    bool past_cache = false;  // decoded bytes are written around the cache
    PayloadMove move;         // encoding does part of it on the way
    bool may_leave_tail = false;  // the frame being encoded is its payload's last, whose end may stay where it was made
    PayloadTail tail;             // and what did
    ScratchBuffer sample;  // the planes of some elements, sample_stride apart
    size_t sample_stride = 0;
    std::vector<size_t> unit_ends;
    std::vector<Histogram> units;
    ScratchBuffer payload;
    std::vector<uint8_t> whole[kMaxPlanes];  // planes that are not coded tile by tile
    std::vector<uint8_t> adaptive_payload;
    size_t adaptive_left = 0;                   // elements that adaptive planes may still have; none among escape values
};

enum class Effort : uint8_t {
    kSplitOnly,  // planes raw or constant, for zstd to work on
    kEntropy,    // rANS
    kAdaptive,   // rANS, short planes adaptive
};

/// Encode numel elements; `out` has frame_bound(numel * item_nbytes) bytes of room. Never fails.
void encode_frame(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel, Effort effort,
                  int escape_depth, FrameWorkspace& workspace, ByteWriter& out, FrameNotes& notes);

/// Decode the next frame of `in` into out[0..out_nbytes); used tells how much it filled.
Status decode_frame(const Kernels& kernels, ByteReader& in, int escape_depth, FrameWorkspace& workspace, uint8_t* out,
                    size_t out_nbytes, size_t& used);

/// Escape values of a rANS plane: a frame of bytes.
void write_escape_values(const Kernels& kernels, const uint8_t* values, size_t count, int escape_depth, ByteWriter& out);
Status read_escape_values(const Kernels& kernels, ByteReader& in, int escape_depth, std::vector<uint8_t>& values);

}  // namespace freebits
