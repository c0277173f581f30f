"""The codecs that freebits is measured beside, one class each, all single-threaded unless told.

Every peer turns a bytes-like object into bytes and back. `prepare` makes what the library wants to be given
(ZipNN reorders its input in place, so it gets a copy) and is not timed. A peer with `threaded = True` takes a
thread count itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import blosc2
import numpy as np
import openzl.ext as openzl
import zstandard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its import of torch warns about torch's own deprecations
    import zipnn

ITEM_NBYTES = {"BF16": 2, "F16": 2, "F32": 4, "U8": 1}
NUMPY_VIEW = {"BF16": np.uint16, "F16": np.uint16, "F32": np.uint32, "U8": np.uint8}
ZIPNN_DTYPE = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "U8": "float8_e4m3fn"}
OPENZL_SPLIT = {"BF16": "BFloat16Deconstruct", "F16": "Float16Deconstruct", "F32": "Float32Deconstruct"}


class Peer(Protocol):
    name: str
    threaded: bool

    def prepare(self, data: memoryview) -> Any: ...
    def encode(self, prepared: Any) -> Any: ...
    def decode(self, stored: Any) -> Any: ...
    def stored_nbytes(self, stored: Any) -> int: ...


class _AsGiven:
    threaded = False

    def prepare(self, data: memoryview) -> Any:
        return data

    def stored_nbytes(self, stored: bytes) -> int:
        return len(stored)


class Memcpy(_AsGiven):
    """A copy into a new bytes object: what any decoder has to do at least."""

    name = "memcpy"

    def encode(self, prepared: memoryview) -> bytes:
        return bytes(prepared)

    def decode(self, stored: bytes) -> bytes:
        return bytes(memoryview(stored))


class Zstd(_AsGiven):
    def __init__(self, level: int) -> None:
        self.name = f"zstd-{level}"
        self._level = level

    def encode(self, prepared: memoryview) -> bytes:
        return zstandard.ZstdCompressor(level=self._level).compress(prepared)

    def decode(self, stored: bytes) -> bytes:
        return zstandard.ZstdDecompressor().decompress(stored)


class ZstdPlanes(Zstd):
    """zstd over the first bytes of all items, then the second bytes, and so on; an odd tail stays there."""

    def __init__(self, level: int, item_nbytes: int) -> None:
        super().__init__(level)
        self.name = f"zstd-{level} on byte planes"
        self._item_nbytes = item_nbytes

    def encode(self, prepared: memoryview) -> bytes:
        return super().encode(memoryview(self._regroup(prepared, inverse=False)))

    def decode(self, stored: bytes) -> np.ndarray:
        return self._regroup(super().decode(stored), inverse=True)

    def _regroup(self, data: Any, *, inverse: bool) -> np.ndarray:
        flat = np.frombuffer(data, np.uint8)
        out = np.empty_like(flat)
        numel = len(flat) // self._item_nbytes
        body = numel * self._item_nbytes
        for index in range(self._item_nbytes):
            plane, strided = slice(index * numel, (index + 1) * numel), slice(index, body, self._item_nbytes)
            source, target = (plane, strided) if inverse else (strided, plane)
            out[target] = flat[source]
        out[body:] = flat[body:]
        return out


class Blosc2Bitshuffle(_AsGiven):
    """blosc2's bitshuffle filter before its zstd, level 1."""

    threaded = True

    def __init__(self, item_nbytes: int, threads: int = 1) -> None:
        self.name = "blosc2 bitshuffle+zstd-1"
        self._cparams = {
            "typesize": item_nbytes,
            "codec": blosc2.Codec.ZSTD,
            "clevel": 1,
            "filters": [blosc2.Filter.BITSHUFFLE],
            "nthreads": threads,
        }
        self._threads = threads

    def prepare(self, data: memoryview) -> np.ndarray:
        return np.frombuffer(data, np.uint8)

    def encode(self, prepared: np.ndarray) -> bytes:
        return blosc2.compress2(prepared, **self._cparams)

    def decode(self, stored: bytes) -> bytes:
        return blosc2.decompress2(stored, nthreads=self._threads)


class ZipNN(_AsGiven):
    """ZipNN with the true dtype, on raw bytes, its defaults otherwise (Huffman, 256 KiB chunks).

    It writes behind its buffers when the input is no whole number of items: an odd tail goes around it.
    """

    threaded = True

    def __init__(self, dtype: str, threads: int = 1) -> None:
        self.name = "zipnn"
        self._item_nbytes = ITEM_NBYTES[dtype]
        self._options = {
            "bytearray_dtype": ZIPNN_DTYPE[dtype],
            "input_format": "byte",
            "method": "HUFFMAN",
            "threads": threads,
        }

    def prepare(self, data: memoryview) -> tuple[bytearray, bytes]:
        tail_nbytes = len(data) % self._item_nbytes
        return bytearray(data[: len(data) - tail_nbytes]), bytes(data[len(data) - tail_nbytes :])

    def encode(self, prepared: tuple[bytearray, bytes]) -> tuple[bytes, bytes]:
        items, tail = prepared
        return zipnn.ZipNN(**self._options).compress(items), tail

    def decode(self, stored: tuple[bytes, bytes]) -> bytearray:
        items = zipnn.ZipNN(**self._options).decompress(stored[0])
        return items + stored[1] if stored[1] else items

    def stored_nbytes(self, stored: tuple[bytes, bytes]) -> int:
        return sum(map(len, stored))


class OpenZL(_AsGiven):
    """OpenZL: floats split into exponent and sign+fraction, each through a graph of its own.

    A graph is the name of one of OpenZL's standard graphs, or "Planes-" and such a name: the byte planes
    through it. "Entropy" lets OpenZL choose the coder; "Store" is right for the fractions of trained weights.
    Items of dtype U8 have no fraction: everything goes through `exponent`.
    """

    def __init__(self, dtype: str, exponent: str = "Entropy", fraction: str = "Store") -> None:
        self.name = f"openzl {exponent}/{fraction}"
        self._dtype = dtype
        self._compressor = openzl.Compressor()
        self._compressor.set_parameter(openzl.CParam.FormatVersion, openzl.MAX_FORMAT_VERSION)
        self._compressor.select_starting_graph(self._split(exponent, fraction))

    def _split(self, exponent: str, fraction: str) -> openzl.GraphID:
        if self._dtype not in OPENZL_SPLIT:
            return self._graph(exponent)
        deconstruct = getattr(openzl.nodes, OPENZL_SPLIT[self._dtype])()
        return deconstruct(self._compressor, self._graph(fraction), self._graph(exponent))

    def _graph(self, name: str) -> openzl.GraphID:
        if name.startswith("Planes-"):
            return openzl.nodes.TransposeSplit()(self._compressor, self._graph(name.removeprefix("Planes-")))
        return getattr(openzl.graphs, name)()(self._compressor)

    def prepare(self, data: memoryview) -> np.ndarray:
        return np.frombuffer(data, NUMPY_VIEW[self._dtype]).copy()  # numeric inputs must be aligned

    def encode(self, prepared: np.ndarray) -> bytes:
        kind = openzl.Type.Numeric if self._dtype in OPENZL_SPLIT else openzl.Type.Serial
        context = openzl.CCtx()
        context.ref_compressor(self._compressor)
        return context.compress([openzl.Input(kind, prepared)])

    def decode(self, stored: bytes) -> np.ndarray:
        return openzl.DCtx().decompress(stored)[0].content.as_nparray()


class Freebits(_AsGiven):
    threaded = True

    def __init__(self, threads: int = 1) -> None:
        from freebits_codecs import decode, encode  # noqa: PLC0415  (peers alone run without it)

        self.name = "freebits"
        self._threads = threads
        self._encode: Callable[..., bytes] = encode
        self._decode: Callable[..., bytes] = decode

    def encode(self, prepared: memoryview) -> bytes:
        return self._encode(prepared, threads=self._threads)

    def decode(self, stored: bytes) -> bytes:
        return self._decode(stored, threads=self._threads)
