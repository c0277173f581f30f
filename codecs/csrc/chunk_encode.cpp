#include <algorithm>

#include "chunk.h"

namespace freebits {
namespace {

/// Bytes of the chunk with one layout, whole elements.
struct Run {
    size_t first, nbytes;
};

constexpr size_t kProbeRuns = 8, kProbeRun = 256;  // elements looked at to see which frame a run resembles
constexpr size_t kMaxFramesPerLayout = 8;
constexpr uint64_t kModelNbytes = 32;
constexpr size_t kScatterCost = 256;  // part of a chunk that must be saved for its runs to be gathered and scattered

/// Runs that share a frame, and what is known of their first planes.
struct FramePieces {
    Layout layout;
    std::vector<Run> runs;
    size_t nbytes = 0;
    Histogram probe;  // scaled to numel

    size_t numel() const { return nbytes / static_cast<size_t>(facts(layout).item_nbytes); }
    void append(const Run& run) {
        if (!runs.empty() && runs.back().first + runs.back().nbytes == run.first)
            runs.back().nbytes += run.nbytes;
        else
            runs.push_back(run);
        nbytes += run.nbytes;
    }
};

/// First plane of a sample, with counts as if all elements had been seen.
Histogram probe_run(const Kernels& kernels, Layout layout, const uint8_t* in, size_t numel) {
    uint8_t planes[kMaxPlanes][kProbeRun];
    uint8_t* at[kMaxPlanes];
    for (int p = 0; p < kMaxPlanes; ++p) at[p] = planes[p];
    Histogram h;
    const size_t runs = std::min(kProbeRuns, (numel + kProbeRun - 1) / kProbeRun), n = std::min(kProbeRun, numel);
    for (size_t r = 0; r < runs; ++r) {
        const size_t first = runs == 1 ? 0 : (numel - n) * r / (runs - 1);
        kernels.split[static_cast<int>(layout)](in + first * static_cast<size_t>(facts(layout).item_nbytes), n, at);
        kernels.count(planes[0], n, h);
    }
    const uint64_t counted = std::max(h.total, 1u);
    h.total = 0;
    for (uint32_t& c : h.count) {
        if (c) c = static_cast<uint32_t>(std::max<uint64_t>(1, c * static_cast<uint64_t>(numel) / counted));
        h.total += c;
    }
    return h;
}

Histogram sum_of(const Histogram& a, const Histogram& b) {
    Histogram sum = a;
    sum.add(b);
    return sum;
}

uint64_t coded_nbytes(const Histogram& h) { return static_cast<uint64_t>(h.entropy_q16()) * h.total >> 19; }

/// Deals the runs of a chunk to frames: by layout, and by how the first plane is distributed where that pays.
class FramePlanner {
public:
    FramePlanner(const Kernels& kernels, const uint8_t* in, bool by_distribution)
        : kernels_(&kernels), in_(in), by_distribution_(by_distribution) {}

    void add(Layout layout, size_t first, size_t nbytes) {
        if (!nbytes) return;
        FramePieces piece{layout, {{first, nbytes}}, nbytes, {}};
        const bool probed = by_distribution_ && facts(layout).exponent_planes;
        if (probed) piece.probe = probe_run(*kernels_, layout, in_ + first, piece.numel());
        if (FramePieces* frame = home(piece, probed)) {
            frame->append(piece.runs[0]);
            if (probed) frame->probe = sum_of(frame->probe, piece.probe);
        } else {
            frames.push_back(piece);
        }
    }
    /// What frames of one layout being several saves, against one frame with all their runs.
    uint64_t saved_nbytes() const {
        uint64_t saved = 0;
        for (size_t i = 0; i < frames.size(); ++i) {
            const auto same = [&](const FramePieces& f) { return f.layout == frames[i].layout; };
            if (std::find_if(frames.begin(), frames.end(), same) != frames.begin() + static_cast<ptrdiff_t>(i)) continue;
            Histogram joint;
            uint64_t apart = 0;
            for (const FramePieces& frame : frames) {
                if (!same(frame)) continue;
                joint = sum_of(joint, frame.probe);
                apart += coded_nbytes(frame.probe) + (&frame == &frames[i] ? 0 : own_frame_nbytes(frame));
            }
            saved += coded_nbytes(joint) > apart ? coded_nbytes(joint) - apart : 0;
        }
        return saved;
    }
    std::vector<FramePieces> frames;

private:
    /// The frame the piece joins, or nullptr when a frame of its own is smaller.
    FramePieces* home(const FramePieces& piece, bool probed) {
        FramePieces* best = nullptr;
        uint64_t best_excess = UINT64_MAX;
        size_t candidates = 0;
        for (FramePieces& frame : frames) {
            if (frame.layout != piece.layout) continue;
            const uint64_t excess = probed ? excess_nbytes(frame, piece) : 0;
            if (excess < best_excess) best = &frame, best_excess = excess;
            ++candidates;
        }
        return best_excess <= own_frame_nbytes(piece) || candidates == kMaxFramesPerLayout ? best : nullptr;
    }
    static uint64_t own_frame_nbytes(const FramePieces& piece) {
        return kModelNbytes + static_cast<uint64_t>(stream_count_for(piece.numel())) * sizeof(RansStream::state);
    }
    static uint64_t excess_nbytes(const FramePieces& frame, const FramePieces& piece) {
        const uint64_t joint = coded_nbytes(sum_of(frame.probe, piece.probe));
        const uint64_t apart = coded_nbytes(frame.probe) + coded_nbytes(piece.probe);
        return joint > apart ? joint - apart : 0;
    }
    const Kernels* kernels_;
    const uint8_t* in_;
    bool by_distribution_;
};

/// Whole elements of the extents inside the chunk, everything else as plain bytes.
void plan_frames(uint64_t offset, size_t nbytes, const Extent* extents, size_t extent_count, FramePlanner& planner) {
    size_t at = 0;
    for (size_t i = 0; i < extent_count; ++i) {
        const Extent& e = extents[i];
        const uint64_t item = static_cast<uint64_t>(facts(e.layout).item_nbytes);
        const uint64_t start = std::max(e.start, offset), stop = std::min(e.stop, offset + nbytes);
        const uint64_t first = e.start + (start - e.start + item - 1) / item * item;  // an element may straddle chunks
        if (first >= stop) continue;
        const uint64_t whole = (stop - first) / item * item;
        planner.add(Layout::kBytes, at, static_cast<size_t>(first - offset) - at);
        planner.add(e.layout, static_cast<size_t>(first - offset), static_cast<size_t>(whole));
        at = static_cast<size_t>(first - offset + whole);
    }
    planner.add(Layout::kBytes, at, nbytes - at);
}

/// Whether much of the chunk lies in tensors too small to get models of their own inside a frame, and large enough to
/// be worth a frame.
bool has_mid_sized(uint64_t offset, size_t nbytes, const Extent* extents, size_t extent_count) {
    constexpr uint64_t kSmall = 1u << 9, kLarge = 1u << 17;  // elements
    uint64_t sum = 0;
    for (size_t i = 0; i < extent_count; ++i) {
        const uint64_t size = std::min(extents[i].stop, offset + nbytes) - std::max(extents[i].start, offset);
        const uint64_t numel = size / static_cast<uint64_t>(facts(extents[i].layout).item_nbytes);
        if (numel >= kSmall && numel < kLarge) sum += size;
    }
    return extent_count > 1 && sum >= nbytes / 8;
}

struct OwnedRun {
    size_t frame;
    Run run;
};

/// All runs in file order with the frame each belongs to.
std::vector<OwnedRun> runs_in_order(const std::vector<FramePieces>& frames) {
    std::vector<OwnedRun> order;
    for (size_t f = 0; f < frames.size(); ++f)
        for (const Run& run : frames[f].runs) order.push_back({f, run});
    std::sort(order.begin(), order.end(),
              [](const OwnedRun& a, const OwnedRun& b) { return a.run.first < b.run.first; });
    return order;
}

void write_runs(const std::vector<FramePieces>& frames, ByteWriter& out) {
    const std::vector<OwnedRun> order = runs_in_order(frames);
    const bool in_sequence = order.size() == frames.size();
    out.varint(in_sequence ? 0 : static_cast<uint32_t>(order.size()));
    if (in_sequence) return;
    for (const OwnedRun& owned : order) {
        out.u8(static_cast<unsigned>(owned.frame));
        out.varint(static_cast<uint32_t>(owned.run.nbytes));
    }
}

const uint8_t* gather(const uint8_t* in, const FramePieces& frame, ScratchBuffer& buffer) {
    if (frame.runs.size() == 1) return in + frame.runs[0].first;
    uint8_t* at = buffer.grow(frame.nbytes);
    for (const Run& run : frame.runs) {
        std::memcpy(at, in + run.first, run.nbytes);
        at += run.nbytes;
    }
    return buffer.data();
}

}  // namespace

size_t encode_chunk(const Kernels& kernels, const uint8_t* in, uint64_t offset, size_t nbytes, const Extent* extents,
                    size_t extent_count, Effort effort, ChunkWorkspace& w, uint8_t* out, FrameNotes& notes) {
    if (extent_count > kMaxExtentsPerChunk) extent_count = 0;
    w.frame.adaptive_left = kMaxAdaptive;
    const bool by_distribution = effort == Effort::kEntropy && has_mid_sized(offset, nbytes, extents, extent_count);
    FramePlanner planner(kernels, in, by_distribution);
    plan_frames(offset, nbytes, extents, extent_count, planner);
    if (by_distribution && planner.saved_nbytes() < nbytes / kScatterCost) {
        planner = FramePlanner(kernels, in, false);
        plan_frames(offset, nbytes, extents, extent_count, planner);
    }
    ByteWriter writer(out);
    write_runs(planner.frames, writer);
    w.frame.tail = {};
    for (const FramePieces& frame : planner.frames) {
        w.frame.may_leave_tail = w.may_leave_tail && &frame == &planner.frames.back();
        encode_frame(kernels, frame.layout, gather(in, frame, w.gathered), frame.numel(), effort, 0, w.frame, writer,
                     notes);
    }
    w.frame.may_leave_tail = false;
    const size_t length = static_cast<size_t>(writer.at() - out) + w.frame.tail.nbytes;
    if (length <= chunk_bound(nbytes)) return length;
    w.frame.tail = {};
    ByteWriter raw(out);  // plain bytes have no streams: those of the payload that is being moved are safe
    raw.varint(0);        // one frame, in sequence
    encode_frame(kernels, Layout::kBytes, in, nbytes, effort, 0, w.frame, raw, notes);
    return static_cast<size_t>(raw.at() - out);
}

}  // namespace freebits
