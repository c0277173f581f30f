// Chunks over threads: independent work, results in order.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace freebits {

/// Calls work(index) for 0 <= index < count on `threads` threads, each with its own Worker.
/// Worker(): constructed per thread. An exception (only std::bad_alloc is expected) stops the rest and is rethrown.
template <class Worker, class Make>
void parallel_for(size_t count, int threads, Make make) {
    if (threads <= 1 || count <= 1) {
        Worker worker = make();
        for (size_t i = 0; i < count; ++i) worker(i);
        return;
    }
    std::atomic<size_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_lock;
    const auto run = [&] {
        try {
            Worker worker = make();
            for (size_t i; (i = next.fetch_add(1)) < count;) worker(i);
        } catch (...) {
            const std::lock_guard<std::mutex> guard(failure_lock);
            failure = std::current_exception();
            next.store(count);
        }
    };
    std::vector<std::thread> helpers;
    const size_t wanted = std::min(static_cast<size_t>(threads), count) - 1;
    helpers.reserve(wanted);
    try {
        while (helpers.size() < wanted) helpers.emplace_back(run);
    } catch (const std::system_error&) {  // no more threads to be had: those there are do the work
    }
    run();
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

/// Lets threads that finish in any order act in index order.
class Turns {
public:
    /// Waits until all indices before `index` are done; false when another thread failed and they never will be.
    bool wait(size_t index) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return failed_ || turn_ == index; });
        return !failed_;
    }
    void done() { change([&] { ++turn_; }); }
    void fail() { change([&] { failed_ = true; }); }

private:
    template <class Change>
    void change(Change apply) {
        {
            const std::lock_guard<std::mutex> guard(mutex_);
            apply();
        }
        changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    size_t turn_ = 0;
    bool failed_ = false;
};

}  // namespace freebits
