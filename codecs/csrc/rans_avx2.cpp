// The rANS kernels with AVX2: all tables live in vector registers or a load away, entries are found by binary search, and no
// byte is looked up alone.
#if defined(__x86_64__)
#include "count_loops.h"
#include "crc32c.h"
#include "decode_avx2.h"
#include "encode_avx2.h"
#include "escape_loops.h"

namespace freebits {
namespace {

void join_lines(PendingJoin& pending) { join_lines_by<Bf16JoinStep>(kAvx2Kernels, pending); }

}  // namespace

const Kernels kAvx2Kernels = {"avx2",
                              decode_tile,
                              encode_tile,
                              gather_escapes,
                              scatter_escapes,
                              FREEBITS_JOIN_TABLE(join_bf16),
                              join_lines,
                              FREEBITS_SPLIT_TABLE(split_bf16),
                              count_bytes,
                              crc32c_sse42};

}  // namespace freebits
#endif
