"""One line that says what a figure was measured on, and the settings that make figures repeatable."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # malloc.h
ISA_FLAGS = ("avx512_vbmi2", "avx512f", "avx2", "asimd")  # the first one the CPU has is named


def machine_line(*distributions: str) -> str:
    """CPU, cores, instruction set, Python, versions of the named distributions, commit."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in distributions]
    facts = [_cpu_model(), f"{os.cpu_count()} cores", _isa(), f"Python {platform.python_version()}"]
    return ", ".join([*facts, *versions, f"commit {_commit()}"])


def _cpu_model() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _isa() -> str:
    flags = (_cpuinfo("flags") or _cpuinfo("Features") or "").split()
    return next((flag for flag in ISA_FLAGS if flag in flags), platform.machine())


def _cpuinfo(field: str) -> str | None:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.split(":")[0].strip() == field:
                return line.split(":", 1)[1].strip()
    return None


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def reuse_memory(nbytes: int) -> None:
    """Have malloc keep `nbytes` of touched memory and hand it out again and again, to every thread.

    By default a large buffer is new pages each time. Clearing them on first touch costs the kernel more than
    the memcpy that follows, in a virtual machine many times more: it would be page faults that are measured.
    """
    with suppress(OSError, AttributeError):  # not glibc: nothing to set
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
        libc.mallopt(M_ARENA_MAX, 1)
    touched = bytearray(b"\1") * nbytes
    del touched


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Run on the last `count` of the cores this process may use (interrupts tend to land on the first)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def core_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
