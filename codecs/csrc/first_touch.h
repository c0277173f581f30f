// The first touch of fresh memory: huge pages where they come quickly, small ones where not.
#pragma once

#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "page_advice.h"

namespace freebits {

/// Touches a buffer ahead of those who fill it, and gives its huge pages up when they are slow to come.
///
/// The kernel clears a huge page four times as fast as 512 small ones, so large buffers ask for them (OutputBuffer does,
/// and so does numpy). In a virtual machine that gives free memory back to its host ("free page reporting") it can be the
/// other way round: only large free blocks are given back, and every page of such a block waits for the host when it is
/// touched first: 5 ms for a huge page instead of 0.2. Small pages come from blocks too short to have been given back.
/// So the rest of the buffer gets small pages once touching has taken longer than they would have.
///
/// Safe for threads that touch different places at once; on memory that is there already it costs two looks at a clock.
class FirstTouch {
public:
    FirstTouch(uint8_t* buffer, size_t nbytes)
        : buffer_(buffer),
          nbytes_(nbytes),
          patience_nbytes_(static_cast<int64_t>(std::max(nbytes / 4, kWorthwhile))),
          done_(nbytes < kWorthwhile) {}

    /// Before [at, at + nbytes) of the buffer is filled: what lies there may be overwritten.
    void operator()(uint8_t* at, size_t nbytes) {
        if (!nbytes || done_.load(std::memory_order_relaxed)) return;
        const int64_t start = thread_ns();
        for (size_t i = 0; i < nbytes; i += kHugePage) touch(at + i);
        touch(at + nbytes - 1);
        const int64_t took = thread_ns() - start;
        const int64_t touched = touched_.fetch_add(static_cast<int64_t>(nbytes), std::memory_order_relaxed);
        const int64_t waited = waited_ns_.fetch_add(took, std::memory_order_relaxed) + took;
        if (waited * kSmallBytesPerNs > std::max(touched, patience_nbytes_) && !done_.exchange(true))
            ask_for_pages(buffer_, nbytes_, Pages::kSmall);
    }

private:
    static constexpr size_t kHugePage = 2u << 20;
    static constexpr size_t kWorthwhile = 16u << 20;
    static constexpr int64_t kSmallBytesPerNs = 2;  // small pages come at 1.5 to 2.5 GB/s

    /// The thread's own time: waiting for the host is in it, waiting for other threads is not.
    static int64_t thread_ns() {
        timespec now;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    }
    static void touch(uint8_t* at) { *static_cast<volatile uint8_t*>(at) = 0; }
    uint8_t* buffer_;
    size_t nbytes_;
    int64_t patience_nbytes_;  // a wait that small pages for these bytes would have cost is borne in any case
    std::atomic<bool> done_;
    std::atomic<int64_t> touched_{0}, waited_ns_{0};
};

}  // namespace freebits
