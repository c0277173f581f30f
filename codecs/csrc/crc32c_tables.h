// Tables shared by the CRC-32C versions.
#pragma once

#include <array>
#include <cstdint>

namespace freebits {

inline constexpr uint32_t kCrc32cPolynomial = 0x82F63B78;  // reflected 0x1EDC6F41

using ByteSteps = std::array<std::array<uint32_t, 256>, 8>;

/// steps[k][b]: what byte b contributes to the register after k more zero bytes.
constexpr ByteSteps make_byte_steps() {
    ByteSteps steps{};
    for (uint32_t b = 0; b < 256; ++b) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kCrc32cPolynomial : 0);
        steps[0][b] = crc;
    }
    for (size_t k = 1; k < 8; ++k)
        for (size_t b = 0; b < 256; ++b) steps[k][b] = steps[k - 1][b] >> 8 ^ steps[0][steps[k - 1][b] & 0xFF];
    return steps;
}
inline constexpr ByteSteps kByteSteps = make_byte_steps();

// Without linkage: each including file is compiled with its own instruction set, and the linker must not mix them.
namespace {

/// Advances a register over a fixed number of zero bytes with four look-ups.
class ZeroRun {
public:
    explicit ZeroRun(size_t nbytes) {
        for (uint32_t i = 0; i < 4; ++i)
            for (uint32_t b = 0; b < 256; ++b) {
                uint32_t crc = b << (8 * i);
                for (size_t n = 0; n < nbytes; ++n) crc = crc >> 8 ^ kByteSteps[0][crc & 0xFF];
                table_[i][b] = crc;
            }
    }
    uint32_t operator()(uint32_t crc) const {
        return table_[0][crc & 0xFF] ^ table_[1][crc >> 8 & 0xFF] ^ table_[2][crc >> 16 & 0xFF] ^ table_[3][crc >> 24];
    }

private:
    std::array<std::array<uint32_t, 256>, 4> table_;
};

inline constexpr size_t kPrefetchAhead = 6144;
inline constexpr size_t kCrcStripe = 1024;  // three stripes side by side hide the latency of the crc instruction

/// CRC with an instruction Step(crc, 8 bytes) of several cycles' latency: three stripes at once, then combined.
template <class Step8, class Step1>
inline uint32_t crc32c_striped(uint32_t crc, const uint8_t* data, size_t nbytes, Step8 step8, Step1 step1) {
    static const ZeroRun one_stripe(kCrcStripe), two_stripes(2 * kCrcStripe);
    crc = ~crc;
    for (; nbytes >= 3 * kCrcStripe; data += 3 * kCrcStripe, nbytes -= 3 * kCrcStripe) {
        uint32_t second = 0, third = 0;
        for (size_t i = 0; i < kCrcStripe; i += 8) {
            __builtin_prefetch(data + kPrefetchAhead + 3 * i);  // three cursors are more than the hardware follows
            crc = step8(crc, data + i);
            second = step8(second, data + kCrcStripe + i);
            third = step8(third, data + 2 * kCrcStripe + i);
        }
        crc = two_stripes(crc) ^ one_stripe(second) ^ third;
    }
    for (; nbytes >= 8; data += 8, nbytes -= 8) crc = step8(crc, data);
    for (; nbytes > 0; ++data, --nbytes) crc = step1(crc, *data);
    return ~crc;
}

}  // namespace
}  // namespace freebits
