// Which instruction sets this machine has, and the choice between them.
#pragma once

#include <string>
#include <vector>

#include "rans_kernel.h"

namespace freebits {

/// Fastest first; the scalar kernels are always last.
std::vector<const Kernels*> available_kernels();

/// The kernels called `name`, or nullptr when this machine or this build does not have them.
const Kernels* find_kernels(const std::string& name);

/// The choice for this process, made once: FREEBITS_ISA if set, else the fastest.
/// Throws std::runtime_error when FREEBITS_ISA asks for what is not there: never a silent fallback.
const Kernels& chosen_kernels();

}  // namespace freebits
