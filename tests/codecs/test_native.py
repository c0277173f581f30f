"""The kernels of every instruction set against the scalar ones, in a C++ program that needs no Python (native/)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NATIVE = Path(__file__).parent / "native"
REPOSITORY = NATIVE.parents[2]
TOOL_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def tool(*names: str) -> str:
    """Path of the first of `names` that is installed, or skip the test."""
    for name in names:
        if found := shutil.which(name, path=TOOL_PATH):
            return found
    pytest.skip(f"not built and not run here: needs {' or '.join(names)}")


def output_of(*command: str | Path) -> str:
    """What a command prints; its whole output is the failure message when it fails."""
    env = {**os.environ, "PATH": TOOL_PATH}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} exited with {done.returncode}:\n{done.stdout}"
    return done.stdout


def built_program(target: str, *settings: str) -> Path:
    """Build kernels_agree for `target` in the repository's build folder, where a second run finds it up to date."""
    cmake, ninja = tool("cmake"), tool("ninja")
    folder = REPOSITORY / "build" / "kernels_agree" / target
    flags = (f"-DCMAKE_MAKE_PROGRAM={ninja}", "-DFREEBITS_KERNEL_TEST=ON", *settings)
    output_of(cmake, "-G", "Ninja", "-S", REPOSITORY / "codecs", "-B", folder, *flags)
    output_of(cmake, "--build", folder, "--target", "kernels_agree")
    return folder / "kernels_agree"


def test_kernels_of_this_machine_agree() -> None:
    """Every instruction set this machine has encodes, decodes, splits, joins and checksums as the scalar code does."""
    tool(os.environ.get("CXX", "c++"), "g++", "clang++")
    printed = output_of(built_program("native"))
    assert printed.splitlines()[-1] == "scalar agrees"


def test_arm_kernels_agree_under_emulation() -> None:
    """The NEON kernels, cross-compiled and run under qemu, do as the scalar code does."""
    tool("aarch64-linux-gnu-g++")
    emulator = tool("qemu-aarch64", "qemu-aarch64-static")
    program = built_program("aarch64", f"-DCMAKE_TOOLCHAIN_FILE={NATIVE / 'aarch64-linux-gnu.cmake'}")
    assert output_of(emulator, program).split() == ["neon", "agrees", "scalar", "agrees"]
