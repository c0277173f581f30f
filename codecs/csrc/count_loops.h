// Counting bytes in plain loops. Included by each instruction set's file, so that the compiler vectorises for it.
#pragma once

#include <algorithm>

#include "histogram.h"

namespace freebits {
namespace {

struct ByteRange {
    uint8_t first = 255, last = 0;
};

inline ByteRange range_of(const uint8_t* data, size_t nbytes) {
    ByteRange range;
    for (size_t i = 0; i < nbytes; ++i) {
        range.first = std::min(range.first, data[i]);
        range.last = std::max(range.last, data[i]);
    }
    return range;
}

inline void widen(Histogram& h, ByteRange range, size_t nbytes) {
    h.first = std::min<int>(h.first, range.first);
    h.last = std::max<int>(h.last, range.last);
    h.total += static_cast<uint32_t>(nbytes);
}

inline void count_one_by_one(const uint8_t* data, size_t nbytes, ByteRange range, Histogram& h) {
    constexpr size_t kWorthTables = 1024;
    if (nbytes < kWorthTables) {
        for (size_t i = 0; i < nbytes; ++i) ++h.count[data[i]];
        return;
    }
    uint32_t lane[4][256] = {};  // four tables: equal neighbours do not wait for each other's store
    size_t i = 0;
    for (; i + 4 <= nbytes; i += 4)
        for (int k = 0; k < 4; ++k) ++lane[k][data[i + k]];
    for (; i < nbytes; ++i) ++lane[0][data[i]];
    for (int s = range.first; s <= range.last; ++s) h.count[s] += lane[0][s] + lane[1][s] + lane[2][s] + lane[3][s];
}

inline void count_bytes(const uint8_t* data, size_t nbytes, Histogram& h) {
    const ByteRange range = range_of(data, nbytes);
    count_one_by_one(data, nbytes, range, h);
    widen(h, range, nbytes);
}

}  // namespace
}  // namespace freebits
