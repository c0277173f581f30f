// What a buffer asks of the kernel about its pages.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace freebits {

enum class Pages { kHuge, kSmall };

/// Advice for the whole pages of a buffer of at least two; the kernel may do otherwise.
inline void ask_for_pages([[maybe_unused]] uint8_t* buffer, [[maybe_unused]] size_t nbytes, [[maybe_unused]] Pages pages) {
#if defined(MADV_HUGEPAGE) && defined(MADV_NOHUGEPAGE)
    constexpr uintptr_t kPage = 4096;
    const uintptr_t first = (reinterpret_cast<uintptr_t>(buffer) + kPage - 1) & ~(kPage - 1);
    (void)madvise(reinterpret_cast<void*>(first), nbytes - kPage, pages == Pages::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
}

}  // namespace freebits
