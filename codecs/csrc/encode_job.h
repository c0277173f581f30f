// Many chunks encoded to records, by several threads, in order.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "copy_past_cache.h"
#include "first_touch.h"
#include "parallel.h"
#include "record.h"

namespace freebits {

/// What encode_records reports per record.
struct RecordNotes {
    std::vector<uint32_t> stored_nbytes, compressible_nbytes, repetitive_nbytes;
    explicit RecordNotes(size_t n) : stored_nbytes(n), compressible_nbytes(n), repetitive_nbytes(n) {}
};

struct EncodeJob {
    const Kernels& kernels;
    const uint8_t* data;
    size_t nbytes;
    uint64_t offset;
    size_t chunk_nbytes;
    const std::vector<Extent>& extents;
    Effort effort;
    uint8_t* out;
    size_t* length;
    FirstTouch first_touch;
    Turns turns;
    RecordNotes notes;

    size_t count() const { return (nbytes + chunk_nbytes - 1) / chunk_nbytes; }
    /// Where record i of record_nbytes goes, once those before have their places; nullptr when another thread failed.
    uint8_t* place_for(size_t i, size_t record_nbytes) {
        if (!turns.wait(i)) return nullptr;
        uint8_t* place = out + *length;
        *length += record_nbytes;
        turns.done();
        first_touch(place, record_nbytes);
        return place;
    }
};

/// Each payload is made in memory that stays in the cache. It is checksummed and moved to its record while the next one is
/// made, unless there is so little to encode that all of it stays there.
class EncodeWorker {
public:
    explicit EncodeWorker(EncodeJob& job) : job_(job), past_cache_(job.nbytes > kMoreThanCaches) {
        workspace_.may_leave_tail = past_cache_;
    }
    ~EncodeWorker() { finish_record(); }
    EncodeWorker(const EncodeWorker&) = delete;
    EncodeWorker& operator=(const EncodeWorker&) = delete;

    void operator()(size_t i) try {
        const size_t first = i * job_.chunk_nbytes, n = std::min(job_.chunk_nbytes, job_.nbytes - first);
        turn_ = !turn_;
        uint8_t* payload = payloads_[turn_].grow(chunk_room(n));
        const uint64_t start = job_.offset + first;
        const auto overlap = overlapping(start, start + n);
        FrameNotes notes;
        const size_t stored = encode_chunk(job_.kernels, job_.data + first, start, n, overlap.first, overlap.second,
                                           job_.effort, workspace_, payload, notes);
        finish_record();
        job_.notes.stored_nbytes[i] = static_cast<uint32_t>(stored);
        job_.notes.compressible_nbytes[i] = static_cast<uint32_t>(notes.compressible_nbytes);
        job_.notes.repetitive_nbytes[i] = static_cast<uint32_t>(notes.repetitive_nbytes);
        record_ = job_.place_for(i, kRecordHeader + stored);
        if (!record_) return;
        write_record_header(record_, start / job_.chunk_nbytes, static_cast<uint32_t>(n), static_cast<uint32_t>(stored));
        const PayloadTail& tail = workspace_.frame.tail;
        workspace_.frame.move.begin(record_ + kRecordHeader, job_.kernels.crc32c(0, record_, kRecordCrc),
                                    {payload, stored - tail.nbytes}, tail);
        if (!past_cache_) finish_record();
    } catch (...) {
        job_.turns.fail();
        throw;
    }

private:
    void finish_record() {
        if (!record_) return;
        put_u32(record_ + kRecordCrc, workspace_.frame.move.finish(job_.kernels, past_cache_));
        record_ = nullptr;
    }
    std::pair<const Extent*, size_t> overlapping(uint64_t start, uint64_t stop) const {
        const auto first = std::partition_point(job_.extents.begin(), job_.extents.end(),
                                                [&](const Extent& e) { return e.stop <= start; });
        const auto last =
            std::partition_point(first, job_.extents.end(), [&](const Extent& e) { return e.start < stop; });
        return {job_.extents.data() + (first - job_.extents.begin()), static_cast<size_t>(last - first)};
    }
    EncodeJob& job_;
    ChunkWorkspace workspace_;
    ScratchBuffer payloads_[2];  // the one being made and the one being moved
    uint8_t* record_ = nullptr;  // where the latter is moved to
    const bool past_cache_;
    bool turn_ = false;
};

}  // namespace freebits
