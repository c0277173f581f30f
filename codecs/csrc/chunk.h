// A chunk: a fixed window of the original file, decodable alone (FORMAT.md, "Chunk payload"). Its bytes are dealt to
// frames run by run, so that the small tensors of one layout share a model and the text between them stays together.
#pragma once

#include <cstdint>
#include <vector>

#include "frame.h"

namespace freebits {

/// A run of the original file with one layout; bytes between extents have Layout::kBytes.
struct Extent {
    uint64_t start, stop;
    Layout layout;
};

inline constexpr size_t kMaxFrames = 255;            // frames of one chunk, as a reader must expect
inline constexpr size_t kMaxExtentsPerChunk = 4096;  // with more, a chunk is treated as plain bytes
inline constexpr size_t kMaxRuns = 2 * kMaxExtentsPerChunk + 1;  // extents and what is between
inline constexpr uint32_t kMaxChunkNbytes = 1u << 24;

/// The longest payload: it is one raw frame when coding does not pay.
inline constexpr size_t chunk_bound(size_t nbytes) { return kMaxVarint + frame_bound(nbytes); }
/// What is written before coding turns out not to pay: headers of as many frames and runs as there can be.
inline constexpr size_t chunk_room(size_t nbytes) {
    return chunk_bound(nbytes) + kMaxRuns * (1 + kMaxVarint) + kMaxFrames * kMaxFrameHeader;
}

struct ChunkWorkspace {
    FrameWorkspace frame;
    bool may_leave_tail = false;  // encode_chunk may leave the payload's end in frame.tail, until it does so again
    bool past_cache = false;  // decoded bytes are not read again soon
    ScratchBuffer gathered;
};

/// Encode file bytes [offset, offset + nbytes), given at `in`, to `out`, which has chunk_room(nbytes) bytes of room.
/// extents[0..extent_count) are sorted, disjoint and overlap the chunk. Returns the payload's length, at most
/// chunk_bound(nbytes); its last frame.tail.nbytes may not be at `out` but in frame.tail.
size_t encode_chunk(const Kernels& kernels, const uint8_t* in, uint64_t offset, size_t nbytes, const Extent* extents,
                    size_t extent_count, Effort effort, ChunkWorkspace& workspace, uint8_t* out, FrameNotes& notes);

/// Decode a chunk of exactly out_nbytes. consumed: how far into the payload it came, for messages.
Status decode_chunk(const Kernels& kernels, const uint8_t* payload, size_t payload_nbytes, ChunkWorkspace& workspace,
                    uint8_t* out, size_t out_nbytes, size_t& consumed);

}  // namespace freebits
