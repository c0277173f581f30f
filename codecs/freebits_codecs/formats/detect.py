"""Ask each reader in turn: whose file is this, and where are its tensors?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from freebits_codecs.formats import archive, gguf, hdf5, npy, onnx, safetensors, torch_legacy
from freebits_codecs.formats.layout import FileLayout, Found
from freebits_codecs.formats.source import HOSTILE, FileSource, HeadSource, HeadTooShort, Source

MAX_HEAD_NBYTES = 8 + safetensors.MAX_HEADER_NBYTES
"""A stream whose directory does not end before this is treated as unknown."""

HEAD_NBYTES = 16
"""What the readers recognise a file by."""


class _Reader(Protocol):
    """What the module of a format offers."""

    NAME: str

    def recognises(self, head: bytes) -> bool:
        """Whether the first `HEAD_NBYTES` bytes may be this format's."""
        ...

    def read(self, source: Source, found: Found) -> None:
        """Add every tensor to `found`; may raise what `HOSTILE` lists."""
        ...


_AT_THE_FRONT: tuple[_Reader, ...] = (safetensors, npy, gguf, torch_legacy)
_ANYWHERE: tuple[_Reader, ...] = (*_AT_THE_FRONT, hdf5, onnx)


@dataclass(frozen=True, slots=True)
class NeedMore:
    """Ask again with at least the first `nbytes` bytes of the stream."""

    nbytes: int


def read_layout(file: BinaryIO) -> FileLayout | None:
    """Where the tensors of a seekable file lie; None when no reader recognises it.

    Only headers and directories are read. Hostile, cut or mislabelled content never raises; where a
    directory breaks off, the extents found before that are kept and all names are dropped. Errors of the
    file itself (OSError) pass.
    """
    source = FileSource(file)
    found = Found()
    try:
        return _layout(_read(source, found, 0), found, source.nbytes)
    except HOSTILE:
        return _broken(found, source.nbytes)


def read_head_layout(head: bytes) -> FileLayout | NeedMore | None:
    """The layout of a stream from its first bytes, for formats that begin with their directory.

    None when it is no such format, `NeedMore` when the directory goes on. Extents may lie beyond the
    stream's end.
    """
    found = Found()
    source = HeadSource(head)
    try:
        reader = _recognise(source.read_at(0, HEAD_NBYTES), _AT_THE_FRONT)
        if reader is None:
            return None
        reader.read(source, found)
        return _layout(reader.NAME, found, source.nbytes)
    except HeadTooShort as short:
        wanted = max(short.nbytes, min(2 * len(head), MAX_HEAD_NBYTES))
        return NeedMore(wanted) if wanted <= MAX_HEAD_NBYTES else None
    except HOSTILE:
        return None


def _read(source: Source, found: Found, depth: int) -> str | None:
    """Fill `found` from a file or a member of one; the name of the format."""
    head = source.read_at(0, min(HEAD_NBYTES, source.nbytes))
    if archive.recognises(head):
        return archive.read(source, found, depth, _read)
    reader = _recognise(head, _ANYWHERE)
    if reader is None:
        return None
    reader.read(source, found)
    return reader.NAME


def _recognise(head: bytes, readers: tuple[_Reader, ...]) -> _Reader | None:
    return next((reader for reader in readers if reader.recognises(head)), None)


def _layout(format_name: str | None, found: Found, nbytes: int) -> FileLayout | None:
    return found.layout(format_name, nbytes) if format_name else None


def _broken(found: Found, nbytes: int) -> FileLayout | None:
    """What a directory that breaks off leaves: extents, if there are any."""
    found.tensors.clear()
    layout = found.layout("broken", nbytes)
    return layout if layout.extents else None
