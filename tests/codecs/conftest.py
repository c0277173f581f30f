"""What the tests of the codecs share: real files, and small containers of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from freebits_codecs.container.writer import ContainerWriter
from freebits_codecs.formats import Extent
from freebits_codecs.planner import ExtentArrays
from freebits_codecs.testing import safetensors, values

REAL_FOLDER = Path(__file__).parents[1] / "data"
REAL_FILES = sorted(
    path for path in REAL_FOLDER.rglob("*.*") if path.is_file() and not path.name.startswith(("LICENSE", "PROVENANCE"))
)
SMALL_CHUNK_NBYTES = 4096


@pytest.fixture(params=REAL_FILES, ids=lambda path: path.name)
def real_file(request: pytest.FixtureRequest) -> Path:
    """Each of the real model files in tests/data."""
    return request.param


class Small:
    """Originals of which small containers are made, each showing another part of the format."""

    def __init__(self) -> None:
        rng = np.random.default_rng(11)
        self.originals: dict[str, tuple[bytes, list[Extent]]] = {
            "empty": (b"", []),
            "raw": (rng.bytes(300), []),
            "constant": (b"\x3c\x01" * 700, [Extent("BF16", 0, 1400)]),
            "rans": (values("normal", "BF16", 300), [Extent("BF16", 0, 600)]),
            "escapes": (values("peaked", "U16", 1500), [Extent("U16", 0, 3000)]),
            "run list": self._run_list(),
            "header": self._header(),
            "zstd": (safetensors([("F32", values("constant", "F32", 30))] * 3), []),
            "chunks": self._chunks(),
        }

    @staticmethod
    def _run_list() -> tuple[bytes, list[Extent]]:
        weights, text = values("normal", "BF16", 150), b"between"
        first, second = len(text), 2 * len(text) + len(weights)
        spans = [Extent("BF16", start, start + len(weights)) for start in (first, second)]
        return text + weights + text + weights + text, spans

    @staticmethod
    def _header() -> tuple[bytes, list[Extent]]:
        """A header whose offsets are not stored, and weights of which they tell."""
        data = safetensors([("BF16", values("normal", "BF16", 7 * i)) for i in range(6)])
        start = 8 + int.from_bytes(data[:8], "little")
        return data, [Extent("BF16", start, len(data))]

    @staticmethod
    def _chunks() -> tuple[bytes, list[Extent]]:
        """Three chunks; an element straddles each border."""
        data = b"odd" + values("constant", "F32", 1024) + values("peaked", "F32", 1100)
        return data, [Extent("F32", 3, len(data))]

    def container(self, name: str, *, sha256: bool) -> bytes:
        data, extents = self.originals[name]
        pieces: list[bytes] = []
        writer = ContainerWriter(
            lambda piece: pieces.append(bytes(piece)),
            ExtentArrays.of(extents),
            sha256=sha256,
            chunk_nbytes=SMALL_CHUNK_NBYTES,
        )
        if data:
            writer.write_batch(memoryview(data))
        writer.finish()
        return b"".join(pieces)


SMALL = Small()


@pytest.fixture(params=[(name, sha256) for name in SMALL.originals for sha256 in (False, True)], ids=str)
def small(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """(original, container) for each kind of small container, without and with a digest."""
    name, sha256 = request.param
    return SMALL.originals[name][0], SMALL.container(name, sha256=sha256)


@pytest.fixture(params=[name for name in SMALL.originals if name != "empty"])
def small_with_digest(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """(original, container) for each kind that has chunks; with a digest."""
    return SMALL.originals[request.param][0], SMALL.container(request.param, sha256=True)


REFUSE_ALL = """
import io, pathlib, resource, sys
from freebits_codecs import decode, decode_file
from freebits_codecs.errors import CodecError
containers = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).iterdir())]
def refuse(container):
    for read in (decode, lambda c: decode_file(io.BytesIO(c), io.BytesIO())):
        try:
            read(container)
        except CodecError:
            continue
        raise SystemExit("not refused")
refuse(containers[0])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for container in containers:
    refuse(container)
"""
MORE_NBYTES = 160 << 20


@pytest.fixture
def refuse_in_little_memory(tmp_path: Path) -> Callable[[Sequence[bytes]], None]:
    """Has containers decoded, as bytes and as files, in a process that may have 160 MiB more than it has."""

    def refuse(containers: Sequence[bytes]) -> None:
        for number, container in enumerate(containers):
            (tmp_path / f"{number:02}").write_bytes(container)
        command = [sys.executable, "-c", REFUSE_ALL, str(tmp_path), str(MORE_NBYTES)]
        # malloc reserves 64 MiB for a thread that had to wait for it, which depends on what else the machine does.
        env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr

    return refuse
