#include "chunk.h"
#include "copy_past_cache.h"

namespace freebits {
namespace {

struct OwnedRun {
    uint8_t frame;
    uint32_t nbytes;
};

/// Runs in file order; their bytes must fill the chunk.
Status read_runs(ByteReader& in, size_t out_nbytes, std::vector<OwnedRun>& runs) {
    uint32_t count;
    if (Status s = read_varint(in, count); !s.ok()) return s;
    if (count > kMaxRuns) return {Fault::kRuns, count, kMaxRuns};
    if (count > in.left() / 2) return {Fault::kTruncated, in.left(), 2ull * count};
    runs.resize(count);
    uint64_t sum = 0;
    for (OwnedRun& run : runs) {
        if (!in.u8(run.frame)) return {Fault::kTruncated};
        if (Status s = read_varint(in, run.nbytes); !s.ok()) return s;
        sum += run.nbytes;
    }
    if (count && sum != out_nbytes) return {Fault::kFrameSize, sum, out_nbytes};
    return {};
}

Status decode_in_sequence(const Kernels& kernels, ByteReader& in, FrameWorkspace& w, uint8_t* out, size_t out_nbytes) {
    size_t at = 0;
    while (at < out_nbytes) {
        size_t used = 0;
        if (Status s = decode_frame(kernels, in, 0, w, out + at, out_nbytes - at, used); !s.ok()) return s;
        at += used;
    }
    return {};
}

void move_run(uint8_t* to, const uint8_t* from, size_t nbytes, bool past_cache) {
    constexpr size_t kWorthFence = 1u << 15;
    if (past_cache && nbytes >= kWorthFence) return copy_past_cache(to, from, nbytes);
    std::memcpy(to, from, nbytes);
}

/// Frame by frame into a buffer, then each run to its place.
Status decode_scattered(const Kernels& kernels, ByteReader& in, const std::vector<OwnedRun>& runs, ChunkWorkspace& w,
                        uint8_t* out, size_t out_nbytes) {
    uint8_t* gathered = w.gathered.grow(out_nbytes);
    for (size_t frame = 0, filled = 0; filled < out_nbytes; ++frame) {
        if (frame == kMaxFrames) return {Fault::kFrameSize, filled, out_nbytes};
        size_t used = 0;
        if (Status s = decode_frame(kernels, in, 0, w.frame, gathered, out_nbytes - filled, used); !s.ok())
            return s;
        filled += used;
        size_t at = 0, taken = 0;
        for (const OwnedRun& run : runs) {
            if (run.frame == frame) {
                if (run.nbytes > used - taken) return {Fault::kFrameSize, taken + run.nbytes, used};
                move_run(out + at, gathered + taken, run.nbytes, w.past_cache);
                taken += run.nbytes;
            }
            at += run.nbytes;
        }
        if (taken != used) return {Fault::kFrameSize, taken, used};
    }
    return {};
}

}  // namespace

Status decode_chunk(const Kernels& kernels, const uint8_t* payload, size_t payload_nbytes, ChunkWorkspace& w,
                    uint8_t* out, size_t out_nbytes, size_t& consumed) {
    ByteReader in(payload, payload_nbytes);
    std::vector<OwnedRun> runs;
    w.frame.adaptive_left = kMaxAdaptive;
    Status status = read_runs(in, out_nbytes, runs);
    w.frame.past_cache = w.past_cache && runs.empty();  // what is gathered is read again at once
    if (status.ok())
        status = runs.empty() ? decode_in_sequence(kernels, in, w.frame, out, out_nbytes)
                              : decode_scattered(kernels, in, runs, w, out, out_nbytes);
    consumed = static_cast<size_t>(in.at() - payload);
    if (status.ok() && in.left()) return {Fault::kFrameSize, payload_nbytes, consumed};
    return status;
}

}  // namespace freebits
