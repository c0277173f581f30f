// CRC-32C by carry-less multiplication, 256 bytes a step: two to three times the crc instruction, which matters because
// every stored byte is checked when it is decoded.
#if defined(__x86_64__)
#include "crc32c.h"
#include "crc32c_fold.h"

namespace freebits {
namespace {

constexpr size_t kStep = 256, kPrefetchAhead = 4096;

}  // namespace

uint32_t crc32c_vpclmul(uint32_t crc, const uint8_t* data, size_t nbytes) {
    if (nbytes < 2 * kStep) return crc32c_sse42(crc, data, nbytes);
    __m512i x[4];
    for (int i = 0; i < 4; ++i) x[i] = _mm512_loadu_si512(data + 64 * i);
    x[0] = continued(crc, x[0]);
    const __m512i by = multiplier<8 * kStep>();
    size_t at = kStep;
    for (; nbytes - at >= kStep; at += kStep)
        for (int i = 0; i < 4; ++i) {
            __builtin_prefetch(data + at + kPrefetchAhead + 64 * i);
            x[i] = fold(x[i], by, _mm512_loadu_si512(data + at + 64 * i));
        }
    for (int i = 1; i < 4; ++i) x[i] = fold(x[i - 1], multiplier<512>(), x[i]);
    return crc32c_sse42(crc_of(x[3]), data + at, nbytes - at);
}

}  // namespace freebits
#endif
