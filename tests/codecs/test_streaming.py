"""Pipes, files that answer in pieces, bounded memory, and reading ranges without decoding the rest."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from freebits_codecs import CHUNK_NBYTES, BytesSource, ContainerReader, decode, decode_file, encode, encode_file
from freebits_codecs.testing import safetensors, values

MIB = 1 << 20
RSS_LIMIT = 300 * MIB
GENERATED_FILE = Path(__file__).parent / "generated_file.py"


@pytest.fixture(scope="module")
def model() -> bytes:
    """A safetensors file of about 10 MiB: floats, integers and a long header."""
    tensors = [(dtype, values("normal", dtype, 400_001)) for dtype in ("BF16", "F32", "F64", "I32")]
    return safetensors([*[("U8", b"tiny")] * 2000, *tensors, ("U8", values("changing", "U8", 700_000))])


class InPieces(io.RawIOBase):
    """A file, not seekable, that reads and writes as few bytes at a time as it likes."""

    def __init__(self, data: bytes = b"", seed: int = 0) -> None:
        self._source, self.written = io.BytesIO(data), bytearray()
        self._rng = np.random.default_rng(seed)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def _few(self, nbytes: int) -> int:
        return min(nbytes, int(2 ** self._rng.uniform(0, 20)))

    def readinto(self, buffer: memoryview) -> int:
        return self._source.readinto(memoryview(buffer)[: self._few(len(buffer))])

    def write(self, data: memoryview) -> int:
        taken = self._few(len(data))
        self.written += memoryview(data)[:taken]
        return taken


@pytest.mark.parametrize("threads", [1, 3])
def test_files_that_answer_in_pieces(model: bytes, threads: int) -> None:
    """Short reads and short writes lose nothing, and a file that cannot seek gives the same container."""
    packed = encode(model, sha256=True)
    sink = InPieces(seed=1)
    summary = encode_file(InPieces(model), sink, threads=threads)
    assert sink.written == packed
    assert (summary.original_nbytes, summary.stored_nbytes) == (len(model), len(packed))
    back = InPieces(seed=2)
    assert decode_file(InPieces(packed), back, threads=threads).sha256 == summary.sha256
    assert back.written == model


def test_single_bytes() -> None:
    """A reader that gives one byte at a time."""
    data = safetensors([("BF16", values("normal", "BF16", 3000))])
    one = InPieces(data)
    one._few = lambda nbytes: min(nbytes, 1)  # type: ignore[method-assign]
    sink = io.BytesIO()
    encode_file(one, sink)
    assert sink.getvalue() == encode(data, sha256=True)


@contextmanager
def fed_pipe(data: bytes) -> Iterator[io.BufferedReader]:
    """The reading end of a pipe that a thread fills."""
    read_end, write_end = os.pipe()

    def feed() -> None:
        with open(write_end, "wb", closefd=True) as pipe:
            pipe.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    with open(read_end, "rb", closefd=True) as pipe:
        yield pipe
    thread.join()


def test_pipes(model: bytes) -> None:
    """Through the kernel's pipes, both ways."""
    packed, back = io.BytesIO(), io.BytesIO()
    with fed_pipe(model) as pipe:
        encode_file(pipe, packed)
    assert packed.getvalue() == encode(model, sha256=True)
    with fed_pipe(packed.getvalue()) as pipe:
        decode_file(pipe, back)
    assert back.getvalue() == model


@pytest.mark.parametrize("work", [encode_file, decode_file])
def test_non_blocking_source_without_data_is_not_the_end(work: Callable[..., object]) -> None:
    """Nothing there yet must not pass for the end of the file."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with open(read_end, "rb", buffering=0) as pipe, open(write_end, "wb", buffering=0) as feed:
        feed.write(encode(b"all of it")[:40])
        with pytest.raises(BlockingIOError):
            work(pipe, io.BytesIO())


@pytest.mark.parametrize("work", [encode_file, decode_file])
def test_file_is_not_written_over_itself(tmp_path: Path, work: Callable[..., object]) -> None:
    """The same path as source and target would empty the source before it is read."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(encode(b"precious"))
    with pytest.raises(ValueError, match="same file"):
        work(path, str(path))
    assert decode(path.read_bytes()) == b"precious"


def test_progress_and_summaries(model: bytes) -> None:
    """Progress ends at the numbers of the summary, which are those of the files."""
    seen: list[tuple[int, int]] = []
    packed, back = io.BytesIO(), io.BytesIO()
    encoded = encode_file(io.BytesIO(model), packed, progress=lambda *done: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1][0] == encoded.original_nbytes == len(model)
    assert encoded.sha256 == hashlib.sha256(model).hexdigest()
    decoded = decode_file(io.BytesIO(packed.getvalue()), back, progress=lambda *done: seen.append(done))
    assert (decoded.original_nbytes, decoded.stored_nbytes) == (len(model), len(packed.getvalue()))
    assert decoded.sha256 == encoded.sha256


class CountingSource(BytesSource):
    """A container that counts the bytes read of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.read_nbytes = 0

    def read_at(self, offset: int, nbytes: int) -> memoryview:
        self.read_nbytes += nbytes
        return super().read_at(offset, nbytes)


def test_a_megabyte_anywhere_costs_at_most_two_chunks(model: bytes) -> None:
    """Ranges of 1 MiB at random places equal slices, and touch the records of two chunks at most."""
    source = CountingSource(encode(model))
    reader = ContainerReader(source)
    lengths = [stop - start for start, stop in map(reader.stored_range, range(reader.chunk_count))]
    rng = np.random.default_rng(7)
    for start in [0, CHUNK_NBYTES, len(model) - 5, *rng.integers(0, len(model), 40).tolist()]:
        source.read_nbytes = 0
        assert reader.read(start, start + MIB) == model[start : start + MIB]
        first = start // CHUNK_NBYTES
        assert source.read_nbytes <= sum(lengths[first : first + 2])


def test_ranges_are_cut_as_slices_are(model: bytes) -> None:
    """Any start and stop, outside and upside down, and pieces of an iteration."""
    reader = ContainerReader(BytesSource(encode(model)), threads=2)
    size = len(model)
    for start, stop in ((0, 0), (5, 3), (-4, 9), (size - 1, size + 9), (size, size + 1), (MIB - 1, 3 * MIB + 1)):
        expected = model[max(start, 0) : max(stop, 0)]
        assert reader.read(start, stop) == expected
        assert b"".join(reader.iter(start, stop)) == expected
    pieces = list(reader.iter())
    assert b"".join(pieces) == model
    assert max(map(len, pieces)) <= CHUNK_NBYTES


def test_reader_of_a_file_closes_it(tmp_path: Path, model: bytes) -> None:
    """Opening by path, reading, and what happens when the file is no container."""
    path = tmp_path / "model.fb"
    path.write_bytes(encode(model))
    with ContainerReader.open(path) as reader:
        assert reader.read(100, 200) == model[100:200]
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        reader.read(0, 1)


def run_large(nbytes: int) -> dict[str, int | str]:
    """Encode and decode a file made on the fly, every stage a process of its own, joined by pipes."""
    stage = [sys.executable, str(GENERATED_FILE)]
    make = subprocess.Popen([*stage, "make", str(nbytes)], stdout=subprocess.PIPE)
    pack = subprocess.Popen([*stage, "encode"], stdin=make.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    unpack = subprocess.Popen([*stage, "decode"], stdin=pack.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for upstream in (make, pack):
        assert upstream.stdout is not None
        upstream.stdout.close()  # else a stage that dies is not noticed by the one before it
    check = subprocess.run([*stage, "digest"], stdin=unpack.stdout, capture_output=True, check=True)
    reports = [json.loads(process.communicate()[1]) for process in (pack, unpack)]
    assert [process.wait() for process in (make, pack, unpack)] == [0, 0, 0]
    return {
        "encode_rss": reports[0]["rss"],
        "decode_rss": reports[1]["rss"],
        "sha256": reports[0]["sha256"],
        "found": check.stdout.decode().strip(),
    }


def assert_bounded(nbytes: int) -> None:
    result = run_large(nbytes)
    assert result["found"] == result["sha256"]
    assert int(result["encode_rss"]) < RSS_LIMIT
    assert int(result["decode_rss"]) < RSS_LIMIT


def test_large_file_needs_little_memory() -> None:
    """1.5 GB through pipes under 300 MiB, encoding and decoding; FREEBITS_LARGE_NBYTES sets another size."""
    assert_bounded(int(os.environ.get("FREEBITS_LARGE_NBYTES", "1500000000")))


def test_long_header_needs_little_memory(tmp_path: Path) -> None:
    """The longest header a safetensors file may have, through a pipe: it is held, but not several times."""
    text = b'{"__metadata__": {"a": "%b"}}' % (b"x" * 99_999_000)
    path = tmp_path / "long-header.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(1000))
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as pipe:
        command = [sys.executable, str(GENERATED_FILE), "encode"]
        run = subprocess.run(command, stdin=pipe.stdout, capture_output=True, check=True)
    assert json.loads(run.stderr)["rss"] < RSS_LIMIT
    assert decode(run.stdout) == path.read_bytes()


class Failing(InPieces):
    """Reads and writes for a while, then the disk is full and the cable pulled."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self._calls = 0

    def _few(self, nbytes: int) -> int:
        self._calls += 1
        if self._calls > 5:
            raise OSError(errno.EIO, "gone")
        return min(nbytes, 500_000)


def test_errors_of_files_are_passed_on(model: bytes) -> None:
    """An OSError of source or target comes out as it is, and leaves no thread behind."""
    packed = encode(model, sha256=True)
    threads = threading.active_count()
    for work, data in ((encode_file, model), (decode_file, packed)):
        for source, sink in ((Failing(data), io.BytesIO()), (io.BytesIO(data), Failing())):
            with pytest.raises(OSError, match="gone"):
                work(source, sink, threads=2)
    assert threading.active_count() == threads


def test_source_that_was_read_from_before(model: bytes) -> None:
    """A file object is taken from where it stands."""
    source, sink = io.BytesIO(model), io.BytesIO()
    source.seek(1000)
    encode_file(source, sink)
    assert decode(sink.getvalue()) == model[1000:]


def test_threads_of_the_caller(model: bytes) -> None:
    """Several threads may encode and decode at once."""
    packed = encode(model)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda i: (encode(model, threads=i % 3 + 1), decode(packed)), range(6)))
    assert all(result == (packed, model) for result in results)


@pytest.mark.slow
def test_ten_gigabytes_need_no_more_memory() -> None:
    """The same for 10 GB, with indices of ten thousand chunks."""
    assert_bounded(10_000_000_000)
