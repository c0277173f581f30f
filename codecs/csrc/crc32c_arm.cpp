#if defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <cstring>

#include "crc32c.h"
#include "crc32c_tables.h"

namespace freebits {
namespace {

/// The instructions are optional in the first version of the architecture and part of it since 8.1.
bool has_crc_instructions() {
#if defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_CRC32;
#else
    return true;
#endif
}

}  // namespace

uint32_t crc32c_arm(uint32_t crc, const uint8_t* data, size_t nbytes) {
    static const bool usable = has_crc_instructions();
    if (!usable) return crc32c_tables(crc, data, nbytes);
    const auto step8 = [](uint32_t c, const uint8_t* p) {
        uint64_t word;
        std::memcpy(&word, p, 8);
        return __crc32cd(c, word);
    };
    return crc32c_striped(crc, data, nbytes, step8, [](uint32_t c, uint8_t b) { return __crc32cb(c, b); });
}

}  // namespace freebits
#endif
