#include "header_plane.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace freebits {
namespace {

constexpr uint8_t kOffsets = 1, kLiteral = 2;
constexpr uint64_t kLimit = 1ull << 63;
constexpr size_t kMaxDigits = 19;  // fit 64 bits

struct Dtype {
    std::string_view name;
    uint64_t item_nbytes;
};

constexpr Dtype kDtypes[] = {
    {"BF16", 2}, {"F16", 2}, {"F32", 4}, {"F64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I8", 1},   {"I16", 2},
    {"I32", 4},  {"I64", 8}, {"U8", 1},  {"U16", 2}, {"U32", 4},     {"U64", 8},     {"BOOL", 1},
};

bool strip(std::string_view& text, std::string_view suffix) {
    if (!text.ends_with(suffix)) return false;
    text.remove_suffix(suffix.size());
    return true;
}

/// Length of an element of the dtype whose name the text ends with; 0 if there is none.
uint64_t item_nbytes(std::string_view text) {
    for (const Dtype& dtype : kDtypes) {
        std::string_view before = text;
        if (strip(before, dtype.name) && before.ends_with("\"dtype\":\"")) return dtype.item_nbytes;
    }
    return 0;
}

/// nbytes times the numbers of a shape; kLimit if that is too much or they are no numbers.
uint64_t times(uint64_t nbytes, std::string_view shape) {
    while (nbytes < kLimit && !shape.empty()) {
        const size_t digits = std::min(shape.find(','), shape.size());
        uint64_t size = 0;
        if (!digits || digits > kMaxDigits || digits + 1 == shape.size()) return kLimit;
        std::from_chars(shape.data(), shape.data() + digits, size);
        if (__builtin_mul_overflow(nbytes, size, &nbytes)) return kLimit;
        shape.remove_prefix(std::min(digits + 1, shape.size()));
    }
    return std::min(nbytes, kLimit);
}

/// Length of the tensor whose entry the text ends with, where its offsets must follow; kLimit if they must not.
uint64_t tensor_nbytes(std::string_view text) {
    if (!strip(text, "],\"data_offsets\":[")) return kLimit;
    const size_t bracket = text.find_last_not_of("0123456789,");
    if (bracket == std::string_view::npos) return kLimit;
    const std::string_view shape = text.substr(bracket + 1);
    text.remove_suffix(shape.size());
    if (!strip(text, "\",\"shape\":[")) return kLimit;
    const uint64_t nbytes = item_nbytes(text);
    return nbytes ? times(nbytes, shape) : kLimit;
}

/// The plane as far as it is known.
class PlaneWriter {
public:
    PlaneWriter(uint8_t* plane, size_t n) : begin_(plane), at_(plane), end_(plane + n) {}
    size_t length() const { return static_cast<size_t>(at_ - begin_); }
    size_t room() const { return static_cast<size_t>(end_ - at_); }

    bool put(const uint8_t* bytes, size_t n) {
        if (n > room()) return false;
        at_ = std::copy_n(bytes, n, at_);
        return true;
    }
    /// Where the tensor begins and ends that begins where the one before ended.
    bool put_offsets() {
        const uint64_t nbytes = tensor_nbytes({reinterpret_cast<const char*>(begin_), length()});
        if (nbytes >= kLimit || tensors_end_ + nbytes >= kLimit) return false;
        char text[2 * kMaxDigits + 1];
        char* at = std::to_chars(text, std::end(text), tensors_end_).ptr;
        *at++ = ',';
        tensors_end_ += nbytes;
        at = std::to_chars(at, std::end(text), tensors_end_).ptr;
        return put(reinterpret_cast<const uint8_t*>(text), static_cast<size_t>(at - text));
    }

private:
    uint8_t *begin_, *at_, *end_;
    uint64_t tensors_end_ = 0;
};

}  // namespace

Status decode_header_plane(const uint8_t* payload, size_t nbytes, uint8_t* plane, size_t n) {
    ByteReader in(payload, nbytes);
    uint32_t marked_nbytes;
    if (Status s = read_varint(in, marked_nbytes); !s.ok()) return s;
    const uint8_t* at = in.take(marked_nbytes);
    if (!at) return {Fault::kTruncated};
    PlaneWriter out(plane, n);
    const auto refused = [&] { return Status{Fault::kHeaderPlane, out.length(), n}; };
    for (const uint8_t* end = at + marked_nbytes; at < end;) {
        const uint8_t* mark = std::find_if(at, end, [](uint8_t byte) { return byte == kOffsets || byte == kLiteral; });
        if (!out.put(at, static_cast<size_t>(mark - at))) return refused();
        if (mark == end) break;
        at = mark + 1;
        const bool is_put = *mark == kOffsets ? out.put_offsets() : at < end && out.put(at++, 1);
        if (!is_put) return refused();
    }
    const size_t rest = in.left();
    if (rest != out.room()) return refused();
    out.put(in.take(rest), rest);
    return {};
}

}  // namespace freebits
