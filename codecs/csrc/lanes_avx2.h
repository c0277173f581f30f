// States of a stream as two byte vectors, their low and high bytes in lane order, two times 32 lanes. The low bytes are then
// the slots as they stand, "fell below 2^8" is "high byte is zero", and taking a byte in is a blend. Included by
// rans_avx2.cpp only.
#pragma once

#include "rans_kernel.h"
#include "vectors_avx2.h"

namespace freebits {
namespace {

constexpr int kHalf = kLanes / 2;  // lanes in a vector

struct State {
    __m256i low, high;
};

/// Where a stream keeps its states while a tile is coded: 64 low bytes, then 64 high bytes.
inline uint8_t* bytes_of(uint16_t* state) { return reinterpret_cast<uint8_t*>(state); }

inline uint64_t bits(__m256i first, __m256i second) {
    return static_cast<uint64_t>(bits(second)) << kHalf | bits(first);
}

/// While a tile is coded, a stream's states lie in their own place as 64 low bytes and 64 high bytes.
class SplitStates {
public:
    explicit SplitStates(RansCoder& coder) : coder_(coder) {
        for (int k = 0; k < coder.stream_count; ++k) split(coder.stream[k].state);
    }
    ~SplitStates() {
        for (int k = 0; k < coder_.stream_count; ++k) merge(coder_.stream[k].state);
    }
    SplitStates(const SplitStates&) = delete;
    SplitStates& operator=(const SplitStates&) = delete;

private:
    static void split(uint16_t* state) {
        const __m256i a = load256(state), b = load256(state + 16), c = load256(state + 32), d = load256(state + 48);
        store256(state, pack_words(low_bytes(a), low_bytes(b)));
        store256(state + 16, pack_words(low_bytes(c), low_bytes(d)));
        store256(state + 32, pack_words(high_bytes(a), high_bytes(b)));
        store256(state + 48, pack_words(high_bytes(c), high_bytes(d)));
    }
    static void merge(uint16_t* state) {
        const __m256i low[2] = {load256(state), load256(state + 16)};
        const __m256i high[2] = {load256(state + 32), load256(state + 48)};
        for (int h = 0; h < 2; ++h) {
            const __m256i a = _mm256_unpacklo_epi8(low[h], high[h]), b = _mm256_unpackhi_epi8(low[h], high[h]);
            store256(state + kHalf * h, _mm256_permute2x128_si256(a, b, 0x20));
            store256(state + kHalf * h + 16, _mm256_permute2x128_si256(a, b, 0x31));
        }
    }
    RansCoder& coder_;
};

}  // namespace
}  // namespace freebits
