// Copies to memory that is not read again soon.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace freebits {

inline constexpr size_t kMoreThanCaches = 16u << 20;  // smaller results are likely hashed or sent on at once

/// memcpy around the cache: its lines are neither read first nor given room. For whole records, not for small pieces.
inline void copy_past_cache(uint8_t* to, const uint8_t* from, size_t nbytes) {
#if defined(__SSE2__)
    constexpr size_t kLine = 64;
    const size_t head = std::min(-reinterpret_cast<uintptr_t>(to) % kLine, nbytes);
    std::memcpy(to, from, head);
    for (to += head, from += head, nbytes -= head; nbytes >= kLine; to += kLine, from += kLine, nbytes -= kLine)
        for (size_t i = 0; i < kLine; i += sizeof(__m128i))
            _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                             _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    _mm_sfence();
#endif
    std::memcpy(to, from, nbytes);
}

}  // namespace freebits
