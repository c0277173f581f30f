#include "cpu.h"

#include <cstdlib>
#include <stdexcept>

namespace freebits {
namespace {

#if defined(__x86_64__)
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
           __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("sse4.2");
}
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("sse4.2");
}
#endif

}  // namespace

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    if (has_avx512()) found.push_back(&kAvx512Kernels);
    if (has_avx2()) found.push_back(&kAvx2Kernels);
#elif defined(__aarch64__)
    found.push_back(&kNeonKernels);  // part of the base architecture
#endif
    found.push_back(&kScalarKernels);
    return found;
}

const Kernels* find_kernels(const std::string& name) {
    for (const Kernels* kernels : available_kernels())
        if (name == kernels->name) return kernels;
    return nullptr;
}

const Kernels& chosen_kernels() {
    static const Kernels& chosen = [] () -> const Kernels& {
        const char* forced = std::getenv("FREEBITS_ISA");
        if (!forced || !*forced) return *available_kernels().front();
        if (const Kernels* kernels = find_kernels(forced)) return *kernels;
        std::string names;
        for (const Kernels* kernels : available_kernels()) names += std::string(names.empty() ? "" : ", ") + kernels->name;
        throw std::runtime_error(std::string("FREEBITS_ISA=") + forced + ": not available here; expected one of " +
                                 names + ", or unset it");
    }();
    return chosen;
}

}  // namespace freebits
