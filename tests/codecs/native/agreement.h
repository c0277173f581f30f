// What the checks of kernels share: how one is reported.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "cpu.h"

namespace {

using namespace freebits;

void require(bool holds, const Kernels& kernels, const std::string& what) {
    if (holds) return;
    std::fprintf(stderr, "%s: %s\n", kernels.name, what.c_str());
    std::exit(1);
}

}  // namespace
