"""What a container holds and what each tensor costs, without decoding the tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import zstandard

from freebits_codecs.container.decoder import inflate
from freebits_codecs.container.frames import PLANE_CODECS, Frame, Run, parse_payload
from freebits_codecs.container.reader import ContainerReader, FileSource, RangeSource
from freebits_codecs.container.records import HEADER_NBYTES, RECORD_NBYTES, SYMMETRIC, ZSTD_FLAG, Header
from freebits_codecs.container.view import OriginalFile
from freebits_codecs.errors import CorruptContainer
from freebits_codecs.formats import FileLayout, Tensor, read_layout

if TYPE_CHECKING:
    from freebits_codecs.symmetry.slots import SlotFacts

OUTSIDE = "(outside tensors)"
INDEX_ENTRY_NBYTES = 4


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """One tensor, or all bytes outside tensors.

    `stored_nbytes` is its share of the container: of every plane its bytes lie in, and of the overhead of its
    chunks, by length; of a chunk that zstd took, by what zstd makes of each plane alone. Tensors that share bytes each
    count them. `planes` maps names of planes to how they are
    coded ("rans", "zstd+raw"), comma-separated where that differs between parts; a plane "bytes" holds elements
    that lie across two chunks, or a part that could not be made smaller. `exponent_bits` are stored bits per
    element of the planes that carry the exponent, None where there are none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    stored_nbytes: int
    planes: dict[str, str]
    exponent_bits: float | None

    @property
    def ratio(self) -> float:
        """Original over stored; 1.0 for an empty tensor."""
        return self.nbytes / max(self.stored_nbytes, 1) if self.nbytes else 1.0


@dataclass(frozen=True, slots=True)
class Inspection:
    """A container. `format` is the file's, None when no reader knows it; `sha256` is of the original file.

    `tensors` are in the order of the file's directory; `outside` is everything that is in none of them: headers,
    padding, and the container's own header and footer. Of a symmetric form, all of this is about the form, and `slots`
    is what it leaves out of its plain file; None for other containers.
    """

    version: int
    format: str | None
    nbytes: int
    stored_nbytes: int
    sha256: str | None
    chunk_count: int
    tensors: tuple[TensorFacts, ...]
    outside: TensorFacts
    slots: tuple[SlotFacts, ...] | None = None

    @property
    def ratio(self) -> float:
        """Original over stored."""
        return self.nbytes / self.stored_nbytes


def inspect_container(source: str | os.PathLike[str] | RangeSource) -> Inspection:
    """Read a container's structure, one chunk at a time; only the file's own directory is decoded.

    Raises FormatError, UnsupportedFormat or LimitExceeded; checksums are checked, planes are not decoded.
    """
    if isinstance(source, str | os.PathLike):
        file = FileSource(source)
        try:
            return inspect_container(file)
        finally:
            file.close()
    form = Header.parse(bytes(source.read_at(0, min(HEADER_NBYTES, source.nbytes)))).form
    return _inspect(ContainerReader(source, form=form))


def _inspect(reader: ContainerReader) -> Inspection:
    layout = read_layout(cast(BinaryIO, OriginalFile(reader))) or FileLayout("", (), ())
    segments = _Segments(reader.nbytes, layout.tensors)
    chunks_nbytes = 0
    for chunk in range(reader.chunk_count):
        for cost in _chunk_costs(reader, chunk):
            segments.charge(cost)
        start, stop = reader.stored_range(chunk)
        chunks_nbytes += stop - start + INDEX_ENTRY_NBYTES
    return Inspection(
        reader.version,
        layout.format or None,
        reader.nbytes,
        reader.stored_nbytes,
        reader.sha256,
        reader.chunk_count,
        tuple(segments.facts(tensor) for tensor in layout.tensors),
        segments.outside(reader.stored_nbytes - chunks_nbytes),
        _slots(reader),
    )


def _slots(reader: ContainerReader) -> tuple[SlotFacts, ...] | None:
    if reader.form != SYMMETRIC:
        return None
    from freebits_codecs.symmetry.slots import slot_facts  # noqa: PLC0415 - few containers are

    return slot_facts(reader)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Bytes [start, stop) of the original lie in a frame, and each costs `density` stored bytes."""

    start: int
    stop: int
    density: float
    planes: tuple[tuple[str, str], ...]
    exponent_bits: float | None


def _chunk_costs(reader: ContainerReader, chunk: int) -> Iterator[_Cost]:
    """One for every run of the chunk."""
    record, data = reader.read_record(chunk)
    record.check_crc(data, chunk)
    packed = bool(record.flags & ZSTD_FLAG)
    stored = data[RECORD_NBYTES:]
    plain = memoryview(inflate(stored, record.nbytes, chunk)) if packed else stored
    payload = parse_payload(plain)
    runs = [run for run in payload.runs if run.nbytes]
    _check_runs(runs, payload.frames, record.nbytes, chunk)
    sizes = _packed_sizes(payload.frames, plain, len(stored)) if packed else _plain_sizes(payload.frames)
    overhead = (len(data) + INDEX_ENTRY_NBYTES - sum(map(sum, sizes))) / record.nbytes
    at = chunk * reader.chunk_nbytes
    for run in runs:
        frame, of_planes = payload.frames[run.frame], sizes[run.frame]
        density = sum(of_planes) / frame.nbytes + overhead
        yield _Cost(at, at + run.nbytes, density, _plane_codecs(frame, packed), _exponent_bits(frame, of_planes))
        at += run.nbytes


def _plain_sizes(frames: Sequence[Frame]) -> list[list[float]]:
    """Stored bytes of every plane of every frame."""
    return [[plane.stop - plane.start for plane in frame.planes] for frame in frames]


def _packed_sizes(frames: Sequence[Frame], plain: memoryview, stored_nbytes: int) -> list[list[float]]:
    """The same where zstd took the chunk: what it stored is shared out by what it makes of each plane alone."""
    alone = [[_size_alone(plain[plane.start : plane.stop]) for plane in frame.planes] for frame in frames]
    scale = stored_nbytes / sum(map(sum, alone))
    return [[scale * size for size in of_planes] for of_planes in alone]


def _size_alone(plane: memoryview) -> int:
    return min(len(zstandard.compress(plane, 1)), len(plane))


def _check_runs(runs: Sequence[Run], frames: Sequence[Frame], nbytes: int, chunk: int) -> None:
    """The runs of a frame must take all its bytes, at least one, and all runs together give the chunk."""
    taken = [0] * len(frames)
    for run in runs:
        if run.frame >= len(taken):
            raise CorruptContainer("frame of a run", found=run.frame, expected=f"below {len(taken)}", chunk=chunk)
        taken[run.frame] += run.nbytes
    if sum(taken) != nbytes or not all(taken) or taken != [frame.nbytes for frame in frames]:
        raise CorruptContainer("bytes of frames and runs", found=sum(taken), expected=nbytes, chunk=chunk)


def _plane_codecs(frame: Frame, packed: bool) -> tuple[tuple[str, str], ...]:
    prefix = "zstd+" if packed else ""
    return tuple((plane.name, prefix + PLANE_CODECS[plane.codec]) for plane in frame.planes)


def _exponent_bits(frame: Frame, sizes: Sequence[float]) -> float | None:
    """Stored bits per element of the planes that carry the exponent."""
    sizes = [size for plane, size in zip(frame.planes, sizes, strict=True) if plane.name.startswith("exponent")]
    return 8 * sum(sizes) / frame.numel if sizes else None


@dataclass(slots=True)
class _Segment:
    """Bytes of the original that belong to the same tensors, and what has been charged to them."""

    stored: float = 0.0
    planes: dict[str, set[str]] = field(default_factory=dict)
    exponent_bits: float = 0.0
    exponent_nbytes: int = 0

    def charge(self, cost: _Cost, nbytes: int) -> None:
        self.stored += cost.density * nbytes
        for name, codec in cost.planes:
            self.planes.setdefault(name, set()).add(codec)
        if cost.exponent_bits is not None:
            self.exponent_bits += cost.exponent_bits * nbytes
            self.exponent_nbytes += nbytes


class _Segments:
    """The original cut wherever a tensor starts or stops, so that tensors may overlap."""

    def __init__(self, nbytes: int, tensors: Sequence[Tensor]) -> None:
        ends = [(tensor.start, tensor.stop) for tensor in tensors if tensor.start < tensor.stop]
        starts, stops = np.array(ends, np.int64).reshape(-1, 2).T
        self._cuts = np.unique(np.concatenate(([0, nbytes], starts, stops)))
        self._segments = [_Segment() for _ in self._cuts[1:]]
        depth = np.zeros(len(self._cuts), np.int64)
        np.add.at(depth, np.searchsorted(self._cuts, starts), 1)
        np.add.at(depth, np.searchsorted(self._cuts, stops), -1)
        self._outside = np.flatnonzero(np.cumsum(depth)[:-1] == 0)

    def charge(self, cost: _Cost) -> None:
        first = int(np.searchsorted(self._cuts, cost.start, "right")) - 1
        for i in range(first, len(self._segments)):
            start, stop = max(cost.start, int(self._cuts[i])), min(cost.stop, int(self._cuts[i + 1]))
            if start >= stop:
                return
            self._segments[i].charge(cost, stop - start)

    def facts(self, tensor: Tensor) -> TensorFacts:
        first, last = np.searchsorted(self._cuts, (tensor.start, tensor.stop))
        segments = self._segments[first:last]
        return _sum_up(tensor.name, tensor.dtype, tensor.shape, tensor.stop - tensor.start, segments, 0)

    def outside(self, extra_nbytes: int) -> TensorFacts:
        """All bytes in no tensor, and `extra_nbytes` stored bytes that are no chunk's."""
        nbytes = int(np.diff(self._cuts)[self._outside].sum())
        segments = [self._segments[i] for i in self._outside]
        return _sum_up(OUTSIDE, "U8", (nbytes,), nbytes, segments, extra_nbytes)


def _sum_up(
    name: str, dtype: str, shape: tuple[int, ...], nbytes: int, segments: Sequence[_Segment], extra_nbytes: int
) -> TensorFacts:
    planes: dict[str, set[str]] = {}
    for segment in segments:
        for plane, codecs in segment.planes.items():
            planes.setdefault(plane, set()).update(codecs)
    exponent_nbytes = sum(segment.exponent_nbytes for segment in segments)
    exponent_bits = sum(segment.exponent_bits for segment in segments)
    return TensorFacts(
        name,
        dtype,
        shape,
        nbytes,
        extra_nbytes + round(sum(segment.stored for segment in segments)),
        {plane: ",".join(sorted(codecs)) for plane, codecs in planes.items()},
        exponent_bits / exponent_nbytes if exponent_nbytes else None,
    )
