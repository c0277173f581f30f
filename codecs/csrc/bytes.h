// Byte buffers and cursors over them: a reader that never passes its end, a writer into space the caller measured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace freebits {

/// Memory that is used again and again, for something else each time: never cleared, and growing loses what is there.
class ScratchBuffer {
public:
    uint8_t* data() const { return bytes_.get(); }
    /// At least nbytes of room.
    uint8_t* grow(size_t nbytes) {
        if (nbytes > room_) {
            bytes_ = std::make_unique_for_overwrite<uint8_t[]>(nbytes);
            room_ = nbytes;
        }
        return data();
    }

private:
    std::unique_ptr<uint8_t[]> bytes_;
    size_t room_ = 0;
};

class ByteReader {
public:
    ByteReader(const uint8_t* data, size_t nbytes) : at_(data), end_(data + nbytes) {}
    const uint8_t* at() const { return at_; }
    size_t left() const { return static_cast<size_t>(end_ - at_); }

    /// The next nbytes, or nullptr when there are fewer.
    const uint8_t* take(size_t nbytes) {
        if (nbytes > left()) return nullptr;
        const uint8_t* p = at_;
        at_ += nbytes;
        return p;
    }
    bool u8(uint8_t& v) {
        const uint8_t* p = take(1);
        if (p) v = *p;
        return p;
    }
    enum class Varint { kOk, kTruncated, kTooLong };
    /// LEB128, at most 32 bits.
    Varint varint(uint32_t& v) {
        uint64_t sum = 0;
        for (int shift = 0; shift < 35; shift += 7) {
            uint8_t b;
            if (!u8(b)) return Varint::kTruncated;
            sum |= static_cast<uint64_t>(b & 0x7F) << shift;
            if (!(b & 0x80)) {
                v = static_cast<uint32_t>(sum);
                return sum >> 32 ? Varint::kTooLong : Varint::kOk;
            }
        }
        return Varint::kTooLong;
    }

private:
    const uint8_t *at_, *end_;
};

inline constexpr size_t kMaxVarint = 5;
inline constexpr size_t varint_nbytes(uint64_t v) {
    size_t nbytes = 1;
    for (; v >= 0x80; v >>= 7) ++nbytes;
    return nbytes;
}

class ByteWriter {
public:
    explicit ByteWriter(uint8_t* out) : at_(out) {}
    uint8_t* at() const { return at_; }
    /// Space for nbytes, to be filled by the caller.
    uint8_t* skip(size_t nbytes) {
        uint8_t* p = at_;
        at_ += nbytes;
        return p;
    }
    void u8(unsigned v) { *at_++ = static_cast<uint8_t>(v); }
    void varint(uint32_t v) {
        for (; v >= 0x80; v >>= 7) u8((v & 0x7F) | 0x80);
        u8(v);
    }
    void bytes(const void* data, size_t nbytes) {
        if (nbytes) std::memcpy(skip(nbytes), data, nbytes);
    }

private:
    uint8_t* at_;
};

}  // namespace freebits
