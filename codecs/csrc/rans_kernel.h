// Contract of the 64-lane register rANS (FORMAT.md, "rANS plane") and the constants every instruction set shares.
//
// A stream has 64 lanes, each a 16-bit state x in [2^8, 2^16). Symbol i of a group of 64 belongs to lane i. Probabilities
// are multiples of 1/256, so the low byte of a state is the slot that names the next symbol; a lane whose state falls
// below 2^8 takes one byte from the stream, lanes in ascending order. A plane is dealt to its streams group by group.
//
// Kernels do arithmetic on buffers they are given: they never allocate, throw or read past the ends they are told.
#pragma once

#include <cstddef>
#include <cstdint>

#include "histogram.h"

namespace freebits {

inline constexpr int kLanes = 64;
inline constexpr int kProbBits = 8;
inline constexpr int kSlots = 1 << kProbBits;
inline constexpr int kMaxSymbols = 64;   // entries of the model, the escape included: one vector register
inline constexpr int kMaxStreams = 4;
inline constexpr uint32_t kStateFloor = 1u << 8;
inline constexpr size_t kTileGroups = 64;
inline constexpr size_t kTile = kTileGroups * kLanes;  // elements handled between two visits to memory; fits L1

/// A model of one plane, as both directions need it. Entries are ranked in ascending symbol order, the escape last.
struct alignas(64) RansModel {
    uint8_t rank_of_slot[kSlots];      // decode: slot -> entry
    uint8_t rank_of_symbol[256];       // encode: byte -> entry; bytes without an entry map to the escape
    uint8_t symbol[kMaxSymbols];       // entry -> byte; for the escape: escape_byte
    uint8_t freq[kMaxSymbols];         // 1..255
    uint8_t start[kMaxSymbols];        // sum of the frequencies before
    uint16_t reciprocal[kMaxSymbols];  // floor(65536 / freq), 65535 for freq 1
    int entry_count;                   // 2..64
    bool has_escape;
    uint8_t escape_byte;               // the smallest byte no entry stands for; meaningless without an escape
};

struct RansStream {
    alignas(64) uint16_t state[kLanes];
    const uint8_t* in;   // decode: next byte. Encode: unused
    uint8_t* out;        // encode: the byte after the free space, which shrinks downwards
};

struct RansCoder {
    RansModel model;
    RansStream stream[kMaxStreams];
    int stream_count;       // 1, 2 or 4
    const uint8_t* in_end;  // decode: no byte at or after this is read
};

/// Escapes of a tile as bit masks: they are rare, so their places are found without a branch per group.
struct alignas(64) TileEscapes {
    uint64_t lanes[kTileGroups];  // bit i of lanes[g]: symbol i of group g
    uint64_t groups;              // bit g: lanes[g] != 0
};
static_assert(kTileGroups == 64);

inline constexpr int kMaxPlanes = 8;

enum class Layout : uint8_t { kBytes, kBf16, kF16, kF32, kF64, kF8E4M3, kF8E5M2, kInt16, kInt32, kInt64, kCount };
inline constexpr int kLayoutCount = static_cast<int>(Layout::kCount);

/// A join that waits to be done: of elements [0, numel) from their planes to `out`. What part of it is done moves on.
struct PendingJoin {
    Layout layout = Layout::kBytes;
    bool past_cache = false;  // `out` is not read again soon: better written around the cache
    const uint8_t* planes[kMaxPlanes] = {};
    uint8_t* out = nullptr;
    size_t numel = 0;
};

/// A split that waits to be done, of numel elements at `in` to their planes.
struct PendingSplit {
    Layout layout = Layout::kBytes;
    const uint8_t* in = nullptr;
    uint8_t* planes[kMaxPlanes] = {};
    size_t numel = 0;
};

/// A copy that waits to be done, of nbytes to memory that is not read again soon, and the CRC-32C of what was before them.
struct PendingCopy {
    const uint8_t* from = nullptr;
    uint8_t* to = nullptr;
    size_t nbytes = 0;
    uint32_t crc = 0;
};

// Coding a tile may do as much of another tile's join or split, or of a copy, as it likes between its groups (or nothing):
// loads and stores that go to memory then run beside the arithmetic, where on their own they would wait for each other.

/// Decode `group_count` groups (<= kTileGroups, starting at stream 0) into out[group_count * 64].
/// escapes: which symbols are the escape byte (meaningless when the model has no escape).
/// returns false when a stream ran past in_end; out is then unspecified.
using RansDecodeTile = bool (*)(RansCoder& coder, size_t group_count, uint8_t* out, TileEscapes& escapes,
                                PendingJoin& pending);

/// Encode group_count groups of bytes, last group first; the counterpart of RansDecodeTile.
/// escapes: which bytes have no entry of their own.
/// Each stream must have 64 free bytes below `out` for every one of its groups.
using RansEncodeTile = void (*)(RansCoder& coder, size_t group_count, const uint8_t* in, TileEscapes& escapes,
                                PendingSplit& pending, PendingCopy& copy);

/// The values of a tile's escapes, in order, to the bytes before `end`; returns where they begin. Groups are whole.
using GatherEscapes = uint8_t* (*)(const uint8_t* tile, const TileEscapes& escapes, uint8_t* end);
/// The reverse: values[0..left) to the places of a tile's escapes. Returns how many it took; left + 1 if there are too few.
using ScatterEscapes = size_t (*)(uint8_t* tile, const TileEscapes& escapes, const uint8_t* values, size_t left);

/// Join planes[p][0..n) into n elements at out, or split them. Planes and out never overlap.
using JoinPlanes = void (*)(const uint8_t* const* planes, size_t n, uint8_t* out);
using SplitPlanes = void (*)(const uint8_t* in, size_t n, uint8_t* const* planes);

/// Do a join, but for the last elements where they would write to part of a cache line only: up to kMaxLeft stay pending.
/// A write to part of a line that is not in the cache makes all later ones wait for it.
using JoinLines = void (*)(PendingJoin& pending);
inline constexpr size_t kMaxLeft = 64;

/// Add bytes to a histogram.
using CountBytes = void (*)(const uint8_t* data, size_t nbytes, Histogram& histogram);

/// Everything that exists once per instruction set. All sets write and read the same bytes.
struct Kernels {
    const char* name;
    RansDecodeTile rans_decode_tile;
    RansEncodeTile rans_encode_tile;
    GatherEscapes gather_escapes;
    ScatterEscapes scatter_escapes;
    JoinPlanes join[kLayoutCount];
    JoinLines join_lines;  // nullptr: whole joins are as fast
    SplitPlanes split[kLayoutCount];
    CountBytes count;
    uint32_t (*crc32c)(uint32_t crc, const uint8_t* data, size_t nbytes);
};

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

}  // namespace freebits
