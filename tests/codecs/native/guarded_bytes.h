// Memory between two pages that cannot be touched: a kernel that reads or writes one byte too far stops the program.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

class GuardedBytes {
public:
    explicit GuardedBytes(size_t capacity) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        nbytes_ = (capacity + page - 1) / page * page;
        mapped_nbytes_ = nbytes_ + 2 * page;
        void* mapped = mmap(nullptr, mapped_nbytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) std::abort();
        mapped_ = static_cast<uint8_t*>(mapped);
        if (nbytes_ && mprotect(head(), nbytes_, PROT_READ | PROT_WRITE)) std::abort();
    }
    ~GuardedBytes() { munmap(mapped_, mapped_nbytes_); }
    GuardedBytes(const GuardedBytes&) = delete;
    GuardedBytes& operator=(const GuardedBytes&) = delete;

    /// The first byte; the one before it is out of bounds.
    uint8_t* head() const { return mapped_ + (mapped_nbytes_ - nbytes_) / 2; }
    /// The last nbytes bytes; the one after them is out of bounds.
    uint8_t* tail(size_t nbytes) const { return head() + nbytes_ - nbytes; }

private:
    size_t nbytes_, mapped_nbytes_;
    uint8_t* mapped_;
};
