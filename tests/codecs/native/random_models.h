// Models and data of every shape a plane can have: peaked and flat, few and many symbols, with and without escapes.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next() {  // splitmix64
        uint64_t z = state_ += 0x9E3779B97F4A7C15;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        return z ^ z >> 31;
    }
    size_t below(size_t limit) { return static_cast<size_t>(next() % limit); }
    void fill(uint8_t* data, size_t nbytes) {
        for (size_t i = 0; i < nbytes; ++i) data[i] = static_cast<uint8_t>(next());
    }

private:
    uint64_t state_;
};

/// A model and bytes that follow its histogram, among them bytes without an entry where the model has an escape.
struct Source {
    freebits::RansModel model;
    std::vector<uint8_t> urn;  // draw from it evenly

    explicit Source(Random& random) {
        freebits::Histogram histogram;
        const size_t distinct = 2 + random.below(random.below(2) ? 14 : 254);
        const uint32_t halving = static_cast<uint32_t>(random.below(4));  // 0: flat; else counts shrink that fast
        const uint8_t first = static_cast<uint8_t>(random.next());
        const uint8_t stride = static_cast<uint8_t>(random.below(2) ? 1 : random.next() | 1);  // side by side, or anywhere
        for (size_t i = 0; i < distinct; ++i) {
            const uint8_t symbol = static_cast<uint8_t>(first + i * stride);
            const uint32_t count = 1 + (1u << 16 >> (i * halving < 16 ? i * halving : 16));
            histogram.add(symbol, count);
            urn.insert(urn.end(), 1 + count / 256, symbol);
        }
        model = freebits::build_model(histogram, random.below(4) == 0);
        if (model.has_escape)
            for (int i = 0; i < 8; ++i) urn.push_back(static_cast<uint8_t>(random.next()));
    }
    uint8_t draw(Random& random) const { return urn[random.below(urn.size())]; }
    bool has_entry(uint8_t byte) const {
        return !model.has_escape || model.rank_of_symbol[byte] != model.entry_count - 1;
    }
};
