// Plane split and join as plain loops. Included by each instruction set's file, so that the compiler vectorises them with
// that file's flags. Bit pictures: FORMAT.md, "Layouts".
//
// Floats are rotated left by one bit, which puts the exponent at the top and the sign at the bottom:
// BF16, high half of F32:  eeeeeeee | mmmmmmms        F16:  eeeeem | mm | mmmmmmms        E4M3:  eeeem | mms
// Where the exponent is narrow its plane takes the top mantissa bit along: the two are not independent (0.06 bit).
#pragma once

#include <cstring>

#include "rans_kernel.h"

namespace freebits {
namespace {

template <class T>
inline T load(const uint8_t* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
template <class T>
inline void store(uint8_t* p, T v) {
    std::memcpy(p, &v, sizeof v);
}
inline uint16_t rotl1(uint16_t v) { return static_cast<uint16_t>(v << 1 | v >> 15); }
inline uint16_t rotr1(uint16_t v) { return static_cast<uint16_t>(v >> 1 | v << 15); }

inline void join_bytes(const uint8_t* const* planes, size_t n, uint8_t* out) { std::memcpy(out, planes[0], n); }
inline void split_bytes(const uint8_t* in, size_t n, uint8_t* const* planes) { std::memcpy(planes[0], in, n); }

inline void join_bf16(const uint8_t* const* planes, size_t n, uint8_t* __restrict out) {
    const uint8_t *__restrict e = planes[0], *__restrict s = planes[1];
    for (size_t i = 0; i < n; ++i) store<uint16_t>(out + 2 * i, rotr1(static_cast<uint16_t>(e[i] << 8 | s[i])));
}
inline void split_bf16(const uint8_t* __restrict in, size_t n, uint8_t* const* planes) {
    uint8_t *__restrict e = planes[0], *__restrict s = planes[1];
    for (size_t i = 0; i < n; ++i) {
        const uint16_t v = rotl1(load<uint16_t>(in + 2 * i));
        e[i] = static_cast<uint8_t>(v >> 8);
        s[i] = static_cast<uint8_t>(v);
    }
}

inline void join_f16(const uint8_t* const* planes, size_t n, uint8_t* __restrict out) {
    const uint8_t *__restrict e = planes[0], *__restrict t = planes[1], *__restrict s = planes[2];
    for (size_t i = 0; i < n; ++i)
        store<uint16_t>(out + 2 * i, rotr1(static_cast<uint16_t>(e[i] << 10 | (t[i] & 3) << 8 | s[i])));
}
inline void split_f16(const uint8_t* __restrict in, size_t n, uint8_t* const* planes) {
    uint8_t *__restrict e = planes[0], *__restrict t = planes[1], *__restrict s = planes[2];
    for (size_t i = 0; i < n; ++i) {
        const uint16_t v = rotl1(load<uint16_t>(in + 2 * i));
        e[i] = static_cast<uint8_t>(v >> 10);
        t[i] = static_cast<uint8_t>(v >> 8 & 3);
        s[i] = static_cast<uint8_t>(v);
    }
}

inline void join_f32(const uint8_t* const* planes, size_t n, uint8_t* __restrict out) {
    const uint8_t *__restrict e = planes[0], *__restrict s = planes[1];
    const uint8_t *__restrict b1 = planes[2], *__restrict b0 = planes[3];
    for (size_t i = 0; i < n; ++i) {
        const uint32_t high = rotr1(static_cast<uint16_t>(e[i] << 8 | s[i]));
        store<uint32_t>(out + 4 * i, high << 16 | static_cast<uint32_t>(b1[i]) << 8 | b0[i]);
    }
}
inline void split_f32(const uint8_t* __restrict in, size_t n, uint8_t* const* planes) {
    uint8_t *__restrict e = planes[0], *__restrict s = planes[1];
    uint8_t *__restrict b1 = planes[2], *__restrict b0 = planes[3];
    for (size_t i = 0; i < n; ++i) {
        const uint32_t w = load<uint32_t>(in + 4 * i);
        const uint16_t v = rotl1(static_cast<uint16_t>(w >> 16));
        e[i] = static_cast<uint8_t>(v >> 8);
        s[i] = static_cast<uint8_t>(v);
        b1[i] = static_cast<uint8_t>(w >> 8);
        b0[i] = static_cast<uint8_t>(w);
    }
}

// F64: low 8 exponent bits | high 3 exponent bits, top 4 mantissa bits, sign | six mantissa bytes, high to low.
inline void join_f64(const uint8_t* const* planes, size_t n, uint8_t* __restrict out) {
    for (size_t i = 0; i < n; ++i) {
        const uint64_t x0 = planes[0][i], x1 = planes[1][i];
        uint64_t w = (x1 & 1) << 63 | (x1 >> 5) << 60 | x0 << 52 | (x1 >> 1 & 15) << 48;
        for (int b = 0; b < 6; ++b) w |= static_cast<uint64_t>(planes[2 + b][i]) << (40 - 8 * b);
        store<uint64_t>(out + 8 * i, w);
    }
}
inline void split_f64(const uint8_t* __restrict in, size_t n, uint8_t* const* planes) {
    for (size_t i = 0; i < n; ++i) {
        const uint64_t w = load<uint64_t>(in + 8 * i);
        planes[0][i] = static_cast<uint8_t>(w >> 52);
        planes[1][i] = static_cast<uint8_t>((w >> 60 & 7) << 5 | (w >> 48 & 15) << 1 | w >> 63);
        for (int b = 0; b < 6; ++b) planes[2 + b][i] = static_cast<uint8_t>(w >> (40 - 8 * b));
    }
}

// FP8, rotated left by one like the others: exponent and top mantissa bit | rest of the mantissa, sign.
template <int kMantissaBits>
inline void join_f8(const uint8_t* const* planes, size_t n, uint8_t* __restrict out) {
    const uint8_t *__restrict e = planes[0], *__restrict s = planes[1];
    constexpr int kLowMask = (1 << kMantissaBits) - 1;
    for (size_t i = 0; i < n; ++i) {
        const unsigned v = (e[i] << kMantissaBits | (s[i] & kLowMask)) & 0xFF;
        out[i] = static_cast<uint8_t>(v >> 1 | v << 7);
    }
}
template <int kMantissaBits>
inline void split_f8(const uint8_t* __restrict in, size_t n, uint8_t* const* planes) {
    uint8_t *__restrict e = planes[0], *__restrict s = planes[1];
    constexpr int kLowMask = (1 << kMantissaBits) - 1;
    for (size_t i = 0; i < n; ++i) {
        const unsigned v = (in[i] << 1 | in[i] >> 7) & 0xFF;
        e[i] = static_cast<uint8_t>(v >> kMantissaBits);
        s[i] = static_cast<uint8_t>(v & kLowMask);
    }
}

// Integers: bytes, high to low.
template <class T>
inline void join_int(const uint8_t* const* planes, size_t n, uint8_t* __restrict out) {
    constexpr int kBytes = sizeof(T);
    for (size_t i = 0; i < n; ++i) {
        T w = 0;
        for (int b = 0; b < kBytes; ++b) w = static_cast<T>(w | static_cast<T>(planes[b][i]) << (8 * (kBytes - 1 - b)));
        store<T>(out + kBytes * i, w);
    }
}
template <class T>
inline void split_int(const uint8_t* __restrict in, size_t n, uint8_t* const* planes) {
    constexpr int kBytes = sizeof(T);
    for (size_t i = 0; i < n; ++i) {
        const T w = load<T>(in + kBytes * i);
        for (int b = 0; b < kBytes; ++b) planes[b][i] = static_cast<uint8_t>(w >> (8 * (kBytes - 1 - b)));
    }
}

}  // namespace
}  // namespace freebits

// In the order of enum Layout; an instruction set may bring its own BF16 loops.
#define FREEBITS_JOIN_TABLE(bf16)                                                                              \
    {join_bytes, bf16, join_f16, join_f32, join_f64, join_f8<3>, join_f8<2>, join_int<uint16_t>,               \
     join_int<uint32_t>, join_int<uint64_t>}
#define FREEBITS_SPLIT_TABLE(bf16)                                                                             \
    {split_bytes, bf16, split_f16, split_f32, split_f64, split_f8<3>, split_f8<2>, split_int<uint16_t>,        \
     split_int<uint32_t>, split_int<uint64_t>}
