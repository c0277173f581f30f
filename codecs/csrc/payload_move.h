// Moving a payload to its record while the next one is made.
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "copy_past_cache.h"
#include "rans_kernel.h"

namespace freebits {

/// The end of a payload that lies elsewhere, so that it is copied once.
struct PayloadTail {
    std::array<std::span<const uint8_t>, kMaxStreams> piece{};
    size_t count = 0, nbytes = 0;

    void add(std::span<const uint8_t> bytes) {
        piece[count++] = bytes;
        nbytes += bytes.size();
    }
};

/// Piece by piece, as PendingCopy after PendingCopy. All stay as they are until finish().
class PayloadMove {
public:
    PendingCopy piece;  // the one being moved; coding does part of it on the way

    /// `crc` is of what comes before.
    void begin(uint8_t* to, uint32_t crc, std::span<const uint8_t> head, const PayloadTail& tail) {
        piece = {head.data(), to, head.size(), crc};
        later_ = tail;
        next_ = 0;
    }
    /// To the next piece, if less is left of this one than coding moves at a time.
    void go_on(const Kernels& kernels) {
        constexpr size_t kRest = 128;
        while (piece.nbytes < kRest && next_ < later_.count) {
            take_rest(kernels, false);
            take_next();
        }
    }
    /// Moves all that is left and returns the CRC of everything.
    uint32_t finish(const Kernels& kernels, bool past_cache) {
        for (take_rest(kernels, past_cache); next_ < later_.count; take_rest(kernels, past_cache)) take_next();
        return piece.crc;
    }

private:
    void take_rest(const Kernels& kernels, bool past_cache) {
        piece.crc = kernels.crc32c(piece.crc, piece.from, piece.nbytes);
        if (past_cache)
            copy_past_cache(piece.to, piece.from, piece.nbytes);  // if only to make what kernels wrote visible to others
        else
            std::copy_n(piece.from, piece.nbytes, piece.to);
        piece.to += piece.nbytes;
        piece.nbytes = 0;
    }
    void take_next() {
        piece.from = later_.piece[next_].data();
        piece.nbytes = later_.piece[next_++].size();
    }
    PayloadTail later_;
    size_t next_ = 0;
};

}  // namespace freebits
