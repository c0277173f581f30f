// Checks that all kernels this machine can run do exactly what the scalar ones do, inside the buffers they are given.
#include "beside_agreement.h"
#include "escapes_agreement.h"

int main() {
    Random random(20240229);
    check_rans(random);
    check_escape_values(random);
    check_planes(random);
    check_side_by_side(random);
    check_counts(random);
    check_crc(random);
    for (const Kernels* kernels : available_kernels()) std::printf("%s agrees\n", kernels->name);
}
