"""What the tests of the format readers share: real files, and what every layout must satisfy."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats import FileLayout, read_layout

REAL_FILES = Path(__file__).parents[2] / "data" / "formats"


@pytest.fixture(scope="session")
def real_files() -> Path:
    """Folder of real model files; PROVENANCE.md there says what they are."""
    return REAL_FILES


def _check(layout: FileLayout, nbytes: int) -> None:
    end = 0
    for extent in layout.extents:
        assert end <= extent.start < extent.stop <= nbytes
        assert (extent.stop - extent.start) % DTYPES[extent.dtype].itemsize == 0
        end = extent.stop
    for tensor in layout.tensors:
        assert 0 <= tensor.start <= tensor.stop <= nbytes
        assert tensor.stop - tensor.start == math.prod(tensor.shape) * DTYPES[tensor.dtype].itemsize
    names = [tensor.name for tensor in layout.tensors]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="session")
def check_layout() -> Callable[[FileLayout, int], None]:
    """Asserts what holds for every layout of a file of some length, hostile or not."""
    return _check


@pytest.fixture(scope="session")
def read() -> Callable[[bytes], FileLayout]:
    """Reads the layout of a file that must be recognised, and checks it."""

    def read_bytes(content: bytes) -> FileLayout:
        layout = read_layout(io.BytesIO(content))
        assert layout is not None
        _check(layout, len(content))
        return layout

    return read_bytes


@pytest.fixture(scope="session")
def bytes_by_name() -> Callable[[FileLayout, bytes], dict[str, tuple[str, tuple[int, ...], bytes]]]:
    """Name -> (dtype, shape, bytes), for comparison with what a format's own library reads."""

    def collect(layout: FileLayout, content: bytes) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
        return {t.name: (t.dtype, t.shape, content[t.start : t.stop]) for t in layout.tensors}

    return collect
