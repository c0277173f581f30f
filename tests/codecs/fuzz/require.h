// What the fuzz programs share: a check that libFuzzer notices.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace freebits::fuzz {

inline void require(bool holds, const char* what, const char* isa) {
    if (holds) return;
    std::fprintf(stderr, "%s: %s\n", isa, what);
    std::abort();
}

}  // namespace freebits::fuzz
