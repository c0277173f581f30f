"""Run a script of this folder beside the benchmark and learn the port it chose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def listening_script(name: str, *arguments: str) -> Iterator[int]:
    """`name` runs with its first line of output, a port, as the value; it is ended on leaving."""
    command = [sys.executable, str(Path(__file__).with_name(name)), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} ended with status {process.wait()} before it listened")
        yield int(line)
    finally:
        process.terminate()
        process.communicate()
