// The rANS kernels with AVX2: 16 lanes of 16 bits a vector, states updated where RansStream keeps them.
//
// Tables are looked up with plain loads, which are faster than gathers, many times so where microcode guards gathers
// against data sampling. Even and odd lanes are looked up apart, 32 bits each: one blend then gives a field of all 16.
#if defined(__x86_64__)
#include <immintrin.h>

#include "crc32c.h"
#include "lane_shuffles.h"
#include "planes_loops.h"
#include "rans_groups.h"
#include "rans_kernel.h"

namespace freebits {
namespace {

constexpr int kWords = 16;  // lanes in a vector

inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store256(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline __m128i load64(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

/// Entries of the lanes first, first + 2, ... first + 14. Broadcasting loads and blends leave the shuffle port alone.
template <class Table, class Index>
inline __m256i every_other(const Table& t, const Index& index, int first) {
    const auto all = [&](int i) { return _mm256_set1_epi32(static_cast<int>(t[index(first + 2 * i)])); };
    const __m256i a = _mm256_blend_epi32(all(0), all(1), 0x02), b = _mm256_blend_epi32(all(2), all(3), 0x08);
    const __m256i c = _mm256_blend_epi32(all(4), all(5), 0x20), d = _mm256_blend_epi32(all(6), all(7), 0x80);
    return _mm256_blend_epi32(_mm256_blend_epi32(a, b, 0x0C), _mm256_blend_epi32(c, d, 0xC0), 0xF0);
}

/// 16 table entries as two vectors of 16-bit fields, in lane order.
struct Entries {
    __m256i low, high;
};
inline Entries deal(__m256i even, __m256i odd) {
    constexpr int kOddWords = 0xAA;
    return {_mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), kOddWords),
            _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, kOddWords)};
}
template <class Table, class Index>
inline Entries look_up(const Table& t, const Index& index) {
    return deal(every_other(t, index, 0), every_other(t, index, 1));
}

inline __m256i low_bytes(__m256i words) { return _mm256_and_si256(words, _mm256_set1_epi16(0x00FF)); }
inline __m256i high_bytes(__m256i words) { return _mm256_srli_epi16(words, 8); }

/// Two vectors of words below 256, or of word masks, as 32 bytes in lane order.
inline __m256i pack_bytes(__m256i a, __m256i b) { return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xD8); }
inline uint32_t pack_mask(__m256i a, __m256i b) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xD8)));
}

/// The next bytes for the 16 lanes of which bit i of `hungry` says that lane i takes one; zero for the others.
inline __m256i take_bytes(uint32_t hungry, const uint8_t* in, size_t& taken) {
    const uint32_t first = hungry & 0xFF, second = hungry >> 8 & 0xFF;
    const __m128i a = _mm_shuffle_epi8(load64(in + taken), load64(kExpand.to[first]));
    taken += static_cast<size_t>(_mm_popcnt_u32(first));
    const __m128i b = _mm_shuffle_epi8(load64(in + taken), load64(kExpand.to[second]));
    taken += static_cast<size_t>(_mm_popcnt_u32(second));
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi64(a, b));
}

struct Step {
    __m256i symbol, next, hungry;  // 16-bit words
};
inline Step step(const SlotTable& t, const uint16_t* state) {
    const uint8_t* low = reinterpret_cast<const uint8_t*>(state);
    const Entries e = look_up(t, [low](int lane) { return low[2 * lane]; });
    const __m256i x = load256(state);
    const __m256i next =
        _mm256_add_epi16(_mm256_mullo_epi16(low_bytes(e.low), high_bytes(x)), high_bytes(e.low));
    return {e.high, next, _mm256_cmpeq_epi16(high_bytes(next), _mm256_setzero_si256())};
}
inline void renormalise(uint16_t* state, const Step& s, __m256i bytes) {
    const __m256i fed = _mm256_or_si256(_mm256_slli_epi16(s.next, 8), bytes);
    store256(state, _mm256_blendv_epi8(s.next, fed, s.hungry));
}

bool decode_tile(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes, PendingJoin&) {
    const SlotTable table(coder.model);
    const __m256i escape = _mm256_set1_epi8(static_cast<char>(coder.model.escape_byte));
    const auto group = [&](uint16_t* state, const uint8_t* in, uint8_t* to, uint64_t& escaped) {
        size_t taken = 0;
        escaped = 0;
        for (int lane = 0; lane < kLanes; lane += 2 * kWords) {
            const Step a = step(table, state + lane), b = step(table, state + lane + kWords);
            const uint32_t hungry = pack_mask(a.hungry, b.hungry);
            renormalise(state + lane, a, take_bytes(hungry, in, taken));
            renormalise(state + lane + kWords, b, take_bytes(hungry >> 16, in, taken));
            const __m256i symbols = pack_bytes(a.symbol, b.symbol);
            store256(to + lane, symbols);
            const __m256i is_escape = _mm256_cmpeq_epi8(symbols, escape);
            escaped |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(is_escape))) << lane;
        }
        return taken;
    };
    return decode_groups(coder, group_count, out, escapes, group);
}

/// Bytes of the 16 lanes in which bit i of `full` is set, below `out`; returns their number.
inline size_t give_bytes(uint32_t full, __m128i bytes, uint8_t* out) {
    const uint32_t first = full & 0xFF, second = full >> 8 & 0xFF;
    const size_t above = static_cast<size_t>(_mm_popcnt_u32(second));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out - 8),
                     _mm_shuffle_epi8(_mm_unpackhi_epi64(bytes, bytes), load64(kCompressHigh.to[second])));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out - above - 8),
                     _mm_shuffle_epi8(bytes, load64(kCompressHigh.to[first])));
    return above + static_cast<size_t>(_mm_popcnt_u32(first));
}

/// One symbol onto each of 16 states.
struct Push {
    __m256i low_byte, fits, start;  // 16-bit words; fits: the state needed no byte given

    Push(const ByteTable& t, uint16_t* state, const uint8_t* in) {
        const Entries e = look_up(t, [in](int lane) { return in[lane]; });
        const __m256i x = load256(state), freq = low_bytes(e.low);
        low_byte = low_bytes(x);
        fits = _mm256_cmpgt_epi16(freq, high_bytes(x));
        start = high_bytes(e.low);
        store256(state, advance(_mm256_blendv_epi8(high_bytes(x), x, fits), freq, start, e.high));
    }

    /// x -> (x / freq) * 256 + x % freq + start; x < 256 * freq, so the quotient fits a byte.
    /// The reciprocal is rounded down, which leaves the quotient at most one too small.
    static __m256i advance(__m256i x, __m256i freq, __m256i start, __m256i reciprocal) {
        const __m256i quotient = _mm256_mulhi_epu16(x, reciprocal);
        const __m256i remainder = _mm256_sub_epi16(x, _mm256_mullo_epi16(quotient, freq));
        const __m256i y = _mm256_add_epi16(_mm256_add_epi16(_mm256_slli_epi16(quotient, 8), remainder), start);
        const __m256i right = _mm256_cmpgt_epi16(freq, remainder);
        return _mm256_add_epi16(y, _mm256_andnot_si256(right, _mm256_sub_epi16(_mm256_set1_epi16(kSlots), freq)));
    }
};

void encode_tile(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes, PendingSplit&) {
    const RansModel& m = coder.model;
    const ByteTable table(m);
    const int start = m.has_escape ? m.start[m.entry_count - 1] : -1;  // no other entry starts there
    const __m256i escape_start = _mm256_set1_epi16(static_cast<short>(start));
    const auto group = [&](uint16_t* state, const uint8_t* from, uint8_t* out, uint64_t& escaped) {
        size_t given = 0;
        escaped = 0;
        for (int lane = kLanes - 2 * kWords; lane >= 0; lane -= 2 * kWords) {
            const Push a(table, state + lane, from + lane), b(table, state + lane + kWords, from + lane + kWords);
            const uint32_t full = ~pack_mask(a.fits, b.fits);
            const __m256i bytes = pack_bytes(a.low_byte, b.low_byte);
            given += give_bytes(full >> 16, _mm256_extracti128_si256(bytes, 1), out - given);
            given += give_bytes(full, _mm256_castsi256_si128(bytes), out - given);
            const uint32_t is_escape =
                pack_mask(_mm256_cmpeq_epi16(a.start, escape_start), _mm256_cmpeq_epi16(b.start, escape_start));
            escaped |= static_cast<uint64_t>(is_escape) << lane;
        }
        return given;
    };
    encode_groups(coder, group_count, in, escapes, group);
}

}  // namespace

const Kernels kAvx2Kernels = {"avx2",
                              decode_tile,
                              encode_tile,
                              FREEBITS_JOIN_TABLE(join_bf16),
                              nullptr,
                              FREEBITS_SPLIT_TABLE(split_bf16),
                              crc32c_sse42};

}  // namespace freebits
#endif
