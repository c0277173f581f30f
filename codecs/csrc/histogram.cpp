#include "histogram.h"

#include <algorithm>

#include "log2.h"

namespace freebits {

void Histogram::add(uint8_t byte, uint32_t times) {
    count[byte] += times;
    total += times;
    first = std::min<int>(first, byte);
    last = std::max<int>(last, byte);
}

void Histogram::add(const Histogram& other) {
    for (int s = other.first; s <= other.last; ++s) count[s] += other.count[s];
    total += other.total;
    first = std::min(first, other.first);
    last = std::max(last, other.last);
}

void Histogram::clear() {
    std::fill(count + std::min(first, last), count + last + 1, 0u);  // none is elsewhere
    total = 0;
    first = 255;
    last = 0;
}

uint32_t Histogram::entropy_q16() const {
    if (!total) return 0;
    uint64_t weighted = 0;
    for (int s = first; s <= last; ++s) weighted += x_log2_q16(count[s]);
    return fast_log2_q16(total) - static_cast<uint32_t>(weighted / total);
}

}  // namespace freebits
