// Decodes arbitrary bytes as a chunk's payload with every instruction set. None may touch memory it was not given, and
// all must agree on whether the payload is sound and on what it holds.
//
// Input: three bytes of decoded length, little-endian and cut to kMaxNbytes, then the payload.
#include <algorithm>
#include <cstring>
#include <memory>

#include "chunk.h"
#include "cpu.h"
#include "require.h"

namespace freebits::fuzz {
namespace {

constexpr size_t kLengthNbytes = 3, kMaxNbytes = 1 << 19;

struct Decoded {
    std::unique_ptr<uint8_t[]> bytes;  // exactly as long as the chunk, so that the sanitizer sees a step past it
    bool sound;
};

Decoded decode(const Kernels& kernels, const uint8_t* payload, size_t payload_nbytes, size_t nbytes) {
    static ChunkWorkspace workspace;  // kept from run to run, as a thread keeps it from chunk to chunk
    Decoded decoded{std::make_unique<uint8_t[]>(nbytes), false};
    size_t consumed = 0;
    const Status status =
        decode_chunk(kernels, payload, payload_nbytes, workspace, decoded.bytes.get(), nbytes, consumed);
    require(consumed <= payload_nbytes, "consumed more than there is", kernels.name);
    decoded.sound = status.ok();
    return decoded;
}

void decode_with_all(const uint8_t* payload, size_t payload_nbytes, size_t nbytes) {
    const Decoded expected = decode(kScalarKernels, payload, payload_nbytes, nbytes);
    for (const Kernels* kernels : available_kernels()) {
        if (kernels == &kScalarKernels) continue;
        const Decoded found = decode(*kernels, payload, payload_nbytes, nbytes);
        require(found.sound == expected.sound, "judges the payload differently than scalar", kernels->name);
        require(!found.sound || !std::memcmp(found.bytes.get(), expected.bytes.get(), nbytes),
                "decodes other bytes than scalar", kernels->name);
    }
}

}  // namespace
}  // namespace freebits::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace freebits::fuzz;
    if (size < kLengthNbytes) return 0;
    const size_t nbytes = static_cast<size_t>(data[0]) | static_cast<size_t>(data[1]) << 8 | static_cast<size_t>(data[2]) << 16;
    decode_with_all(data + kLengthNbytes, size - kLengthNbytes, std::min(nbytes, kMaxNbytes));
    return 0;
}
