// Chunk records: the 16-byte header before each chunk's payload (FORMAT.md, "Chunk record").
#pragma once

#include "chunk.h"

namespace freebits {

inline constexpr size_t kRecordHeader = 16;
inline constexpr size_t kRecordCrc = 12;  // offset of the CRC-32C of the bytes before it and the payload after it
inline constexpr uint8_t kChunkKind = 'C';
inline constexpr uint8_t kZstdFlag = 1;  // the payload is a zstd frame around frames

struct RecordHeader {
    uint8_t kind, flags;
    uint32_t nbytes, stored_nbytes, crc;
};

inline void put_u32(uint8_t* p, uint32_t v) {
    for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(v >> (8 * i));
}
inline uint32_t get_u32(const uint8_t* p) {
    return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
}

inline RecordHeader read_record_header(const uint8_t* p) {
    return {p[0], p[1], get_u32(p + 4), get_u32(p + 8), get_u32(p + kRecordCrc)};
}

/// What comes before the CRC: kind, flags, the low 16 bits of the chunk's number, decoded length, stored length.
inline void write_record_header(uint8_t* record, uint64_t chunk, uint32_t nbytes, uint32_t stored_nbytes) {
    record[0] = kChunkKind;
    record[1] = 0;
    record[2] = static_cast<uint8_t>(chunk);
    record[3] = static_cast<uint8_t>(chunk >> 8);
    put_u32(record + 4, nbytes);
    put_u32(record + 8, stored_nbytes);
}

inline uint32_t record_crc(const Kernels& kernels, const uint8_t* record, uint32_t stored_nbytes) {
    return kernels.crc32c(kernels.crc32c(0, record, kRecordCrc), record + kRecordHeader, stored_nbytes);
}

}  // namespace freebits
