"""Layouts from the first bytes of a stream: the same as those of the whole file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from safetensors.numpy import save

from freebits_codecs.formats import FileLayout, NeedMore, detect, read_head_layout, read_layout


def _feed(content: bytes, first_nbytes: int = 16) -> tuple[FileLayout | None, int]:
    """Gives the reader what it asks for; its answer, and the bytes that took."""
    nbytes = first_nbytes
    while isinstance(answer := read_head_layout(content[:nbytes]), NeedMore):
        assert answer.nbytes > nbytes
        nbytes = answer.nbytes
    return answer, nbytes


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((100, 100), np.float32))
    return file.getvalue()


@pytest.fixture(params=["safetensors", "npy", "torch-legacy"])
def content(request, real_files):
    """Files whose directory is at the front."""
    if request.param == "safetensors":
        return save({f"w{n}": np.ones(1000, np.float32) for n in range(30)})
    return _npy() if request.param == "npy" else (real_files / "rfb-epoch-499.pth").read_bytes()


def test_same_as_the_whole_file(content):
    """The head is enough for the layout that the seekable file has."""
    layout, nbytes = _feed(content)
    assert layout == read_layout(io.BytesIO(content))
    assert nbytes < len(content)


def test_too_short_to_tell():
    """A stream of a few bytes is asked for more, since it may yet become anything."""
    assert read_head_layout(b"") == NeedMore(detect.HEAD_NBYTES)


@pytest.mark.parametrize(
    "head", [b"PK\3\4" + bytes(60), b"\x89HDF\r\n\x1a\n" + bytes(60), b"hello world " * 10]
)
def test_directory_elsewhere(head):
    """Formats with their directory elsewhere, and unknown ones, are answered with None at once."""
    assert read_head_layout(head) is None


def test_head_limit():
    """A directory that claims to go on beyond the limit is not waited for."""
    endless = (
        b"GGUF\3\0\0\0" + (1).to_bytes(8, "little") + (1).to_bytes(8, "little") + (9).to_bytes(8, "little")
    )
    endless += b"tokenizer" + (8).to_bytes(4, "little") + (detect.MAX_HEAD_NBYTES).to_bytes(8, "little")
    assert read_head_layout(endless) is None
