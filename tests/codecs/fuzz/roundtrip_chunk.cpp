// Encodes a chunk of arbitrary bytes under arbitrary extents with every instruction set: all must write the same payload,
// no longer than promised, and every one must decode it to the same bytes.
//
// Input: how often the data is repeated (copies_of), whether planes are only split, offset of the chunk in its file, number of
// extents, per extent gap (2 bytes), length (2 bytes, in units of kLengthUnit) and layout, then the data.
#include <algorithm>
#include <cstring>
#include <memory>

#include "chunk.h"
#include "cpu.h"
#include "require.h"

namespace freebits::fuzz {
namespace {

constexpr size_t kMaxNbytes = (1 << 19) + 8192, kMaxExtents = 12, kLengthUnit = 3;

/// Takes from the front of the input; zeros when it is used up.
class Input {
public:
    Input(const uint8_t* data, size_t size) : in_(data, size) {}
    uint8_t u8() {
        uint8_t v = 0;
        return in_.u8(v) ? v : uint8_t{0};
    }
    uint64_t u16() {
        const uint64_t low = u8();
        return low | static_cast<uint64_t>(u8()) << 8;
    }
    std::vector<uint8_t> rest() const { return {in_.at(), in_.at() + in_.left()}; }

private:
    ByteReader in_;
};

struct Case {
    std::vector<uint8_t> data;
    uint64_t offset;
    Effort effort;
    std::vector<Extent> extents;  // those that overlap the chunk
};

/// A few copies mostly; enough for planes of several streams, which take long, now and then.
size_t copies_of(uint8_t code) { return code < 0xE0 ? 1 + code % 16 : size_t{1} << (code - 0xE0) % 14; }

/// The seed again and again, its high bytes stirred a little so that the copies differ.
std::vector<uint8_t> repeated(const std::vector<uint8_t>& seed, size_t copies) {
    std::vector<uint8_t> data;
    if (seed.empty()) return data;
    copies = std::min(copies, std::max<size_t>(1, kMaxNbytes / seed.size()));
    for (size_t copy = 0; copy < copies; ++copy)
        for (const uint8_t byte : seed) data.push_back(static_cast<uint8_t>(byte ^ (copy * 37 >> 5 & byte)));
    return data;
}

Case read_case(const uint8_t* bytes, size_t size) {
    Input in(bytes, size);
    Case c;
    const size_t copies = copies_of(in.u8());
    constexpr Effort kEfforts[] = {Effort::kSplitOnly, Effort::kEntropy, Effort::kAdaptive, Effort::kEntropy};
    c.effort = kEfforts[in.u8() % 4];
    c.offset = in.u16();
    uint64_t at = 0;
    for (size_t left = in.u8() % (kMaxExtents + 1); left > 0; --left) {
        const uint64_t start = at + in.u16(), stop = start + in.u16() * kLengthUnit;
        c.extents.push_back({start, stop, static_cast<Layout>(in.u8() % kLayoutCount)});
        at = stop;
    }
    c.data = repeated(in.rest(), copies);
    const uint64_t end = c.offset + c.data.size();
    std::erase_if(c.extents, [&](const Extent& e) { return e.stop <= c.offset || e.start >= end; });
    return c;
}

struct Encoded {
    std::unique_ptr<uint8_t[]> payload;  // exactly the promised room
    size_t nbytes;
};

Encoded encode(const Kernels& kernels, const Case& c) {
    static ChunkWorkspace workspace;
    workspace.may_leave_tail = c.offset % 2;
    Encoded e{std::make_unique<uint8_t[]>(chunk_room(c.data.size())), 0};
    FrameNotes notes;
    e.nbytes = encode_chunk(kernels, c.data.data(), c.offset, c.data.size(), c.extents.data(), c.extents.size(), c.effort,
                            workspace, e.payload.get(), notes);
    require(e.nbytes <= chunk_bound(c.data.size()), "payload longer than promised", kernels.name);
    uint8_t* at = e.payload.get() + e.nbytes - workspace.frame.tail.nbytes;
    for (size_t i = 0; i < workspace.frame.tail.count; ++i) {
        const auto& piece = workspace.frame.tail.piece[i];
        at = std::copy(piece.begin(), piece.end(), at);
    }
    require(at == e.payload.get() + e.nbytes, "tail of another length than its pieces", kernels.name);
    return e;
}

void require_decodes(const Kernels& kernels, const Encoded& e, const Case& c) {
    static ChunkWorkspace workspace;
    const auto payload = std::make_unique<uint8_t[]>(e.nbytes), out = std::make_unique<uint8_t[]>(c.data.size());
    std::memcpy(payload.get(), e.payload.get(), e.nbytes);
    size_t consumed = 0;
    const Status status = decode_chunk(kernels, payload.get(), e.nbytes, workspace, out.get(), c.data.size(), consumed);
    require(status.ok(), "refuses a payload the encoder wrote", kernels.name);
    require(!std::memcmp(out.get(), c.data.data(), c.data.size()), "decodes other bytes", kernels.name);
}

void round_trip(const Case& c) {
    const Encoded expected = encode(kScalarKernels, c);
    for (const Kernels* kernels : available_kernels()) {
        require_decodes(*kernels, expected, c);
        if (kernels == &kScalarKernels) continue;
        const Encoded found = encode(*kernels, c);
        require(found.nbytes == expected.nbytes &&
                    !std::memcmp(found.payload.get(), expected.payload.get(), found.nbytes),
                "encodes to other bytes than scalar", kernels->name);
    }
}

}  // namespace
}  // namespace freebits::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace freebits::fuzz;
    const Case c = read_case(data, size);
    if (!c.data.empty()) round_trip(c);
    return 0;
}
