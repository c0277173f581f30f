#if defined(__x86_64__)
#include "crc32c.h"
#include "planes_loops.h"
#include "rans_kernel.h"
namespace freebits {
// placeholder until written
const Kernels kAvx2Kernels = {"avx2", kScalarKernels.rans_decode_tile, kScalarKernels.rans_encode_tile, FREEBITS_JOIN_TABLE(join_bf16), FREEBITS_SPLIT_TABLE(split_bf16), crc32c_sse42};
}
#endif
