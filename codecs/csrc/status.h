// What decoding found wrong: facts only; binding.cpp makes the sentence and the exception.
#pragma once

#include <cstdint>

#include "bytes.h"

namespace freebits {

enum class Fault : uint8_t {
    kNone,
    kTruncated,    // the payload ends inside something
    kLayout,       // unknown layout code
    kPlaneCodec,   // unknown plane codec
    kFrameSize,    // frames hold more or fewer bytes than the chunk
    kPlaneSize,    // a rANS plane's parts do not add up to its length
    kModel,        // frequencies do not sum to 256, or no such model exists
    kStreamEnd,    // a stream was not used up, or its lanes did not return to their start
    kEscapes,      // escape symbols and escape values disagree
    kNesting,      // escape values nested too deep
    kVarint,       // a number longer than 5 bytes or over 32 bits
    kChecksum,     // a record's CRC-32C does not match
    kRuns,         // more runs than a chunk can have
    kAdaptive,     // an adaptive plane is too long, or its payload not used up
    kHeaderPlane,  // a header plane where none may be, of another length, or with offsets that do not follow
};

struct [[nodiscard]] Status {
    Fault fault = Fault::kNone;
    uint64_t found = 0, expected = 0;
    bool ok() const { return fault == Fault::kNone; }
};

inline Status read_varint(ByteReader& in, uint32_t& v) {
    switch (in.varint(v)) {
        case ByteReader::Varint::kOk: return {};
        case ByteReader::Varint::kTruncated: return {Fault::kTruncated};
        default: return {Fault::kVarint};
    }
}

}  // namespace freebits
