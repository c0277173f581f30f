#include "adaptive.h"

namespace freebits {
namespace {

/// Probability that a bit is 1, in 1/65536: the mean of one that learns fast and one that remembers long. Never 0 or 1.
class Bit {
public:
    uint32_t probability() const { return (fast_ + slow_) >> 1; }
    void learn(bool bit) {
        fast_ += bit ? (65536 - fast_) >> 4 : -(fast_ >> 4);
        slow_ += bit ? (65536 - slow_) >> 7 : -(slow_ >> 7);
    }

private:
    uint32_t fast_ = 32768, slow_ = 32768;
};

/// A byte is coded from its highest bit down; each bit has a probability for all that may be above it.
struct ByteTree {
    Bit node[256];
};

/// The interval of 32-bit numbers that begin a stream of which the bits so far are decoded.
class Interval {
public:
    uint32_t low = 0, high = UINT32_MAX;

    /// Where the part of it ends that means 1.
    uint32_t split(uint32_t probability) const {
        return low + static_cast<uint32_t>((static_cast<uint64_t>(high - low) * probability) >> 16);
    }
    void take(bool bit, uint32_t split) {
        if (bit)
            high = split;
        else
            low = split + 1;
    }
    bool has_byte() const { return (low ^ high) >> 24 == 0; }
    void drop_byte() {
        low <<= 8;
        high = high << 8 | 0xFF;
    }
};

/// The fewest bytes that, followed by zeros, lie in the interval.
void finish(const Interval& interval, std::vector<uint8_t>& out) {
    for (int bits = 32; bits >= 0; bits -= 8) {
        const uint64_t step = 1ull << bits, number = (interval.low + step - 1) / step * step;
        if (number > interval.high) continue;
        for (int shift = 24; shift >= bits; shift -= 8) out.push_back(static_cast<uint8_t>(number >> shift));
        return;
    }
}

}  // namespace

void encode_adaptive(const uint8_t* plane, size_t n, std::vector<uint8_t>& out) {
    ByteTree tree;
    Interval interval;
    out.clear();
    for (size_t i = 0; i < n; ++i) {
        uint32_t above = 1;  // bits of the byte so far, behind a 1
        for (int shift = 7; shift >= 0; --shift) {
            Bit& node = tree.node[above];
            const bool bit = plane[i] >> shift & 1;
            interval.take(bit, interval.split(node.probability()));
            node.learn(bit);
            above = above << 1 | bit;
            for (; interval.has_byte(); interval.drop_byte()) out.push_back(static_cast<uint8_t>(interval.low >> 24));
        }
    }
    finish(interval, out);
}

Status decode_adaptive(const uint8_t* payload, size_t nbytes, uint8_t* plane, size_t n) {
    ByteTree tree;
    Interval interval;
    size_t used = 0;
    uint32_t window = 0;
    const auto next = [&] { window = window << 8 | (used < nbytes ? payload[used] : 0), ++used; };
    while (used < 4) next();
    for (size_t i = 0; i < n; ++i) {
        uint32_t above = 1;
        while (above < 256) {
            Bit& node = tree.node[above];
            const uint32_t split = interval.split(node.probability());
            const bool bit = window <= split;
            interval.take(bit, split);
            node.learn(bit);
            above = above << 1 | bit;
            for (; interval.has_byte(); interval.drop_byte()) next();
        }
        plane[i] = static_cast<uint8_t>(above);
    }
    if (used < nbytes) return {Fault::kAdaptive, nbytes, used};
    return {};
}

}  // namespace freebits
