// Splits and joins of planes, counting and CRC-32C of every instruction set beside the scalar ones.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "agreement.h"
#include "guarded_bytes.h"
#include "layout.h"
#include "random_models.h"

namespace {

using namespace freebits;

struct PlaneMemory {
    std::vector<std::unique_ptr<GuardedBytes>> planes;
    uint8_t* at[kMaxPlanes] = {};
    PlaneMemory(int count, size_t n) {
        for (int p = 0; p < count; ++p) {
            planes.push_back(std::make_unique<GuardedBytes>(n));
            at[p] = planes[p]->tail(n);
        }
    }
    bool equals(const PlaneMemory& other, size_t n) const {
        for (size_t p = 0; p < planes.size(); ++p)
            if (!std::equal(at[p], at[p] + n, other.at[p])) return false;
        return true;
    }
};

/// `shift` bytes stay free at the end of interleaved memory, so that its elements lie at odd addresses too.
void check_layout(Random& random, const Kernels& kernels, int layout, size_t n, size_t shift) {
    const std::string what = "layout " + std::to_string(layout) + ", " + std::to_string(n) + " elements";
    const LayoutFacts& shape = kLayouts[layout];
    const size_t nbytes = n * static_cast<size_t>(shape.item_nbytes);
    const GuardedBytes in(nbytes + shift), joined(nbytes + shift), wanted(nbytes + shift);
    uint8_t *source = in.tail(nbytes + shift), *out = joined.tail(nbytes + shift), *reference = wanted.tail(nbytes + shift);
    random.fill(source, nbytes);
    const PlaneMemory planes(shape.plane_count, n), scalar(shape.plane_count, n);
    kernels.split[layout](source, n, planes.at);
    kScalarKernels.split[layout](source, n, scalar.at);
    require(planes.equals(scalar, n), kernels, "splits differently from scalar: " + what);
    kernels.join[layout](planes.at, n, out);
    require(std::equal(source, source + nbytes, out), kernels, "join does not undo split: " + what);
    for (int p = 0; p < shape.plane_count; ++p) random.fill(planes.at[p], n);  // planes may come from hostile data
    kernels.join[layout](planes.at, n, out);
    kScalarKernels.join[layout](planes.at, n, reference);
    require(std::equal(out, out + nbytes, reference), kernels, "joins differently from scalar: " + what);
}

void check_planes(Random& random) {
    for (const Kernels* kernels : available_kernels())
        for (int layout = 0; layout < kLayoutCount; ++layout)
            for (size_t n = 0; n <= 300; ++n) check_layout(random, *kernels, layout, n, n % 3);
}

/// Random bytes from `first` to `last`, added to a histogram that is not empty.
void check_count(Random& random, size_t nbytes, unsigned first, unsigned last) {
    const GuardedBytes memory(nbytes);
    uint8_t* data = memory.tail(nbytes);
    for (size_t i = 0; i < nbytes; ++i) data[i] = static_cast<uint8_t>(first + random.below(last - first + 1));
    Histogram before;
    before.add(static_cast<uint8_t>(random.next()), 1 + static_cast<uint32_t>(random.below(9)));
    Histogram wanted = before;
    for (size_t i = 0; i < nbytes; ++i) wanted.add(data[i], 1);
    for (const Kernels* kernels : available_kernels()) {
        Histogram own = before;
        kernels->count(data, nbytes, own);
        require(std::equal(own.count, own.count + 256, wanted.count) && own.total == wanted.total &&
                    own.first == wanted.first && own.last == wanted.last,
                *kernels, "counts differently: " + std::to_string(nbytes) + " bytes from " + std::to_string(first) + " to " +
                    std::to_string(last));
    }
}

void check_counts(Random& random) {
    for (size_t nbytes = 0; nbytes <= 300; ++nbytes) check_count(random, nbytes, 100, 120);
    for (int i = 0; i < 600; ++i) {
        const unsigned first = static_cast<unsigned>(random.below(256));
        const unsigned width = static_cast<unsigned>(random.below(i % 2 ? 80 : 256));
        check_count(random, random.below(5000), first, std::min(first + width, 255u));
    }
}

void check_crc(Random& random) {
    constexpr size_t kLongest = 20000;
    const GuardedBytes memory(kLongest);
    random.fill(memory.tail(kLongest), kLongest);
    const auto check = [&](const Kernels& kernels, size_t nbytes, size_t shift) {
        const uint8_t* data = memory.tail(nbytes + shift);
        const uint32_t whole = kScalarKernels.crc32c(0, data, nbytes);
        const size_t half = random.below(nbytes + 1);
        const std::string what = "CRC-32C differs from scalar: " + std::to_string(nbytes) + " bytes";
        require(kernels.crc32c(0, data, nbytes) == whole, kernels, what);
        require(kernels.crc32c(kernels.crc32c(0, data, half), data + half, nbytes - half) == whole, kernels,
                what + " in two parts");
    };
    for (const Kernels* kernels : available_kernels()) {
        const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
        require(kernels->crc32c(0, digits, sizeof digits) == 0xE3069283, *kernels, "CRC-32C misses the check value");
        for (size_t nbytes = 0; nbytes <= 600; ++nbytes)
            for (size_t shift = 0; shift < 16; ++shift) check(*kernels, nbytes, shift);
        for (int i = 0; i < 300; ++i) check(*kernels, random.below(kLongest - 16), random.below(16));
    }
}

}  // namespace
