#include "crc32c.h"

#include <cstring>

#include "crc32c_tables.h"

namespace freebits {

uint32_t crc32c_tables(uint32_t crc, const uint8_t* data, size_t nbytes) {
    crc = ~crc;
    for (; nbytes >= 8; data += 8, nbytes -= 8) {
        uint64_t word;
        std::memcpy(&word, data, 8);
        word ^= crc;
        crc = 0;
        for (int k = 0; k < 8; ++k) crc ^= kByteSteps[7 - k][word >> (8 * k) & 0xFF];
    }
    for (; nbytes > 0; ++data, --nbytes) crc = crc >> 8 ^ kByteSteps[0][(crc ^ *data) & 0xFF];
    return ~crc;
}

}  // namespace freebits
