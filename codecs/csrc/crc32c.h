// CRC-32C (Castagnoli), as in iSCSI and RFC 3720: reflected, initial value and final xor 0xFFFFFFFF.
#pragma once

#include <cstddef>
#include <cstdint>

namespace freebits {

/// Continue `crc` (0 to start) over data. All versions give the same value.
uint32_t crc32c_tables(uint32_t crc, const uint8_t* data, size_t nbytes);
#if defined(__x86_64__)
uint32_t crc32c_sse42(uint32_t crc, const uint8_t* data, size_t nbytes);
uint32_t crc32c_vpclmul(uint32_t crc, const uint8_t* data, size_t nbytes);
#elif defined(__aarch64__)
uint32_t crc32c_arm(uint32_t crc, const uint8_t* data, size_t nbytes);
#endif

}  // namespace freebits
