#if defined(__x86_64__)
#include <nmmintrin.h>

#include <cstring>

#include "crc32c.h"
#include "crc32c_tables.h"

namespace freebits {

uint32_t crc32c_sse42(uint32_t crc, const uint8_t* data, size_t nbytes) {
    const auto step8 = [](uint32_t c, const uint8_t* p) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        return static_cast<uint32_t>(_mm_crc32_u64(c, word));
    };
    return crc32c_striped(crc, data, nbytes, step8, [](uint32_t c, uint8_t b) { return _mm_crc32_u8(c, b); });
}

}  // namespace freebits
#endif
