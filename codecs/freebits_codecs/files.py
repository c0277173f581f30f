"""Encode and decode bytes, paths, file objects and pipes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from freebits_codecs import _core
from freebits_codecs.container.encoder import RecordEncoder
from freebits_codecs.container.ending import ending_nbytes, pack_ending
from freebits_codecs.container.reader import BytesSource, ContainerReader, FileSource, RangeSource
from freebits_codecs.container.records import (
    CHUNK_NBYTES,
    HEADER_NBYTES,
    INDEXED,
    PLAIN,
    SYMMETRIC,
    Header,
)
from freebits_codecs.container.stream import StreamDecoder, read_exactly, require_answer
from freebits_codecs.container.view import OriginalFile, PlainOriginal
from freebits_codecs.container.writer import (
    BackgroundDigest,
    ContainerWriter,
    EncodeSummary,
    Progress,
    batch_chunks,
)
from freebits_codecs.errors import CodecError, DigestMismatch
from freebits_codecs.formats import NeedMore, read_head_layout, read_layout
from freebits_codecs.planner import ExtentArrays

if TYPE_CHECKING:
    from freebits_codecs.symmetry.expansion import Expanded

PathOrFile = str | os.PathLike[str] | BinaryIO
Buffer = bytes | bytearray | memoryview | np.ndarray

_FIRST_HEAD_NBYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class DecodeSummary:
    """What decoding gave back. `sha256` is None when the container carries none."""

    original_nbytes: int
    stored_nbytes: int
    sha256: str | None


def encode(data: Buffer, *, threads: int = 1, sha256: bool = False) -> bytes:
    """The container of `data`.

    Every chunk carries a checksum; `sha256=True` adds the digest of the whole, which takes longer than the
    coding itself unless a core is free for it.

    >>> import numpy as np
    >>> weights = np.random.default_rng(0).normal(0, 0.02, 100_000).astype(np.float32)
    >>> packed = encode(weights)
    >>> len(packed) < 0.85 * weights.nbytes and decode(packed) == weights.tobytes()
    True
    """
    view = _bytes_view(data)
    layout = read_layout(cast(BinaryIO, OriginalFile(PlainOriginal(BytesSource(view)))))
    digest = BackgroundDigest() if sha256 else None
    if digest:
        digest.update(view)
    encoder = RecordEncoder(CHUNK_NBYTES, ExtentArrays.of(layout.extents) if layout else None, threads)
    longest_ending = ending_nbytes(INDEXED, len(view) // CHUNK_NBYTES + 1)
    sink = _core.OutputBuffer(HEADER_NBYTES + encoder.bound(len(view)) + longest_ending)
    sink.length = HEADER_NBYTES
    stored = [encoder.encode(view[:CHUNK_NBYTES], 0, sink)]  # alone: when its header shrinks, nothing has to move up
    header = encoder.header(PLAIN, has_digest=sha256)
    memoryview(sink)[:HEADER_NBYTES] = header.pack()
    step = CHUNK_NBYTES * batch_chunks(threads) * 8
    for start in range(CHUNK_NBYTES, len(view), step):
        stored.append(encoder.encode(view[start : start + step], start, sink))
    _append(sink, pack_ending(header.ending, stored, len(view), sink.length, digest.hexdigest() if digest else None))
    return sink.take()


def decode(data: Buffer, *, threads: int = 1) -> bytes:
    """The original bytes of a container; its digest is checked when it has one.

    Raises FormatError, UnsupportedFormat, LimitExceeded; of a symmetric form what `symmetry.expand` raises.
    """
    source = BytesSource(_bytes_view(data))
    if _form(source.read_at(0, HEADER_NBYTES)) == SYMMETRIC:
        whole_file = io.BytesIO()
        _expand(source, whole_file, threads)
        return whole_file.getvalue()
    reader = ContainerReader(source, threads)
    whole = reader.read(0, reader.nbytes)
    if reader.sha256:
        _check_digest(hashlib.sha256(whole).hexdigest(), reader.sha256)
    return whole


def encode_file(
    src: PathOrFile,
    dst: PathOrFile,
    *,
    threads: int = 1,
    sha256: bool = True,
    form: int = PLAIN,
    progress: Progress | None = None,
) -> EncodeSummary:
    """Encode a path, file object or pipe into another, with bounded memory. `form` says what `src` holds."""
    _refuse_same_file(src, dst)
    with _opened(src, "rb") as source, _opened(dst, "wb") as sink:
        extents, head = _find_extents(source)
        write = partial(_write_all, sink)
        writer = ContainerWriter(write, extents, threads=threads, sha256=sha256, form=form, progress=progress)
        try:
            for batch in _batches(source, head, writer.batch_nbytes):
                writer.write_batch(batch)
            return writer.finish()
        finally:
            writer.close()


def decode_file(
    src: PathOrFile, dst: PathOrFile, *, threads: int = 1, progress: Progress | None = None
) -> DecodeSummary:
    """Decode a path, file object or pipe into another, with bounded memory.

    The digest, if there is one, is known at the end only: on DigestMismatch throw away what was written. A symmetric
    form gives its plain file, by way of a temporary one if `dst` cannot be sought; `src` must be a path then, and what
    `symmetry.expand` raises is raised.
    """
    _refuse_same_file(src, dst)
    if isinstance(src, str | os.PathLike):
        with contextlib.closing(FileSource(src)) as container:
            if _form(container.read_at(0, min(HEADER_NBYTES, container.nbytes))) == SYMMETRIC:
                with _opened(dst, "w+b") as target:
                    expanded = _expand(container, target, threads)
                return DecodeSummary(expanded.nbytes, container.nbytes, expanded.sha256)
    with _opened(src, "rb") as source, _opened(dst, "wb") as sink:
        decoder = StreamDecoder(source, threads)
        digest = BackgroundDigest()
        try:
            for piece in decoder:
                digest.update(piece)
                _write_all(sink, piece)
                digest.wait()
                if progress:
                    progress(decoder.nbytes, decoder.stored_nbytes)
            if decoder.sha256:
                _check_digest(digest.hexdigest(), decoder.sha256)
            return DecodeSummary(decoder.nbytes, decoder.stored_nbytes, decoder.sha256)
        finally:
            digest.close()


def _form(head: bytes | memoryview) -> int:
    """PLAIN for whatever is no sound header: the decoder says then what is wrong with it."""
    try:
        return Header.parse(bytes(head)).form
    except CodecError:
        return PLAIN


def _expand(source: RangeSource, sink: BinaryIO, threads: int) -> Expanded:
    from freebits_codecs.symmetry.expansion import expand_to  # noqa: PLC0415 - few files need it

    return expand_to(source, sink, threads=threads)


def _check_digest(found: str, expected: str) -> None:
    if found != expected:
        raise DigestMismatch(found=found, expected=expected)


def _bytes_view(data: Buffer) -> memoryview:
    if isinstance(data, np.ndarray) and data.flags.c_contiguous:
        data = data.reshape(-1).view(np.uint8)  # memoryview does not know dates, nor bfloat16 of ml_dtypes
    view = memoryview(cast(bytes, data))
    if not view.c_contiguous:
        raise ValueError("data is not contiguous; pass a contiguous copy, e.g. numpy.ascontiguousarray(data)")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _append(sink: _core.OutputBuffer, piece: bytes) -> None:
    memoryview(sink)[sink.length : sink.length + len(piece)] = piece
    sink.length += len(piece)


def _find_extents(source: BinaryIO) -> tuple[ExtentArrays | None, bytes]:
    """What is known of the source's tensors, and the bytes that had to be read to know it."""
    if _seekable(source):
        start = source.tell()
        if start == 0:
            layout = read_layout(source)
            source.seek(0)
            return (ExtentArrays.of(layout.extents) if layout else None), b""
    head = read_exactly(source, _FIRST_HEAD_NBYTES)
    found = read_head_layout(head)
    while isinstance(found, NeedMore) and found.nbytes > len(head):
        known, head = len(head), _longer_head(source, head, found.nbytes)
        if len(head) == known:
            found = read_layout(io.BytesIO(head))
            break
        found = read_head_layout(head)
    layout = None if isinstance(found, NeedMore) else found
    return (ExtentArrays.of(layout.extents) if layout else None), head


def _longer_head(source: BinaryIO, head: bytes, nbytes: int) -> bytes:
    """The first `nbytes` bytes, or all there are; `head` has been read. In place: headers of 100 MB are legal."""
    buffer = _core.OutputBuffer(nbytes)
    _append(buffer, head)
    view = memoryview(buffer)
    while buffer.length < nbytes and (count := _read_into(source, view[buffer.length :])):
        buffer.length += count
    view.release()
    return buffer.take()


def _seekable(source: BinaryIO) -> bool:
    try:
        return source.seekable()
    except AttributeError:
        return False


def _batches(source: BinaryIO, head: bytes, batch_nbytes: int) -> Iterator[memoryview]:
    """The source in pieces of `batch_nbytes`, the last one shorter. Each is valid until the next."""
    for start in range(0, len(head) - batch_nbytes + 1, batch_nbytes):
        yield memoryview(head)[start : start + batch_nbytes]
    rest = head[len(head) // batch_nbytes * batch_nbytes :]
    buffer = bytearray(batch_nbytes)
    view = memoryview(buffer)
    view[: len(rest)] = rest
    filled = len(rest)
    while True:
        while filled < batch_nbytes and (count := _read_into(source, view[filled:])):
            filled += count
        if filled:
            yield view[:filled]
        if filled < batch_nbytes:
            return
        filled = 0


def _read_into(source: BinaryIO, buffer: memoryview) -> int:
    readinto = getattr(source, "readinto", None)
    if readinto is not None:
        count: int = require_answer(readinto(buffer))
        return count
    data = require_answer(source.read(len(buffer)))
    buffer[: len(data)] = data
    return len(data)


def _write_all(sink: BinaryIO, piece: memoryview | bytes) -> None:
    """Raw files and sockets may take fewer bytes than they are given."""
    left = memoryview(piece)
    while left:
        taken = sink.write(left)
        if isinstance(sink, io.RawIOBase):
            require_answer(taken)
        left = left[taken if isinstance(taken, int) else len(left) :]  # writers of one's own may answer nothing


def _refuse_same_file(src: PathOrFile, dst: PathOrFile) -> None:
    """Opening the target would empty the source."""
    paths = [Path(target) for target in (src, dst) if isinstance(target, str | os.PathLike)]
    if len(paths) == 2 and paths[1].exists() and paths[0].samefile(paths[1]):
        raise ValueError(f"source and target are the same file, {paths[1]}; name another target")


@contextmanager
def _opened(target: PathOrFile, mode: str) -> Iterator[BinaryIO]:
    """A path is opened and closed, a file object used as it is."""
    if isinstance(target, str | os.PathLike):
        with Path(target).open(mode) as file:
            yield cast(BinaryIO, file)
    else:
        yield target
