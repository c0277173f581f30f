"""The native core. Every function takes `isa`: "" for the process's choice, else one of `available_isas()`."""

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

RECORD_HEADER_NBYTES: int
MAX_CHUNK_NBYTES: int

# (record number, fault code, found, expected, bytes of the payload consumed); codes: csrc/status.h
Fault = tuple[int, int, int, int, int]

def isa() -> str: ...
def available_isas() -> list[str]: ...

class OutputBuffer(Buffer):
    """A bytes object under construction; `length` bytes of `capacity` are filled."""

    length: int
    def __init__(self, capacity: int) -> None: ...
    @property
    def capacity(self) -> int: ...
    def take(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def records_bound(nbytes: int, chunk_nbytes: int) -> int: ...
def encode_records(
    sink: OutputBuffer,
    data: Buffer,
    offset: int,
    chunk_nbytes: int,
    starts: NDArray[np.uint64],
    stops: NDArray[np.uint64],
    layouts: NDArray[np.uint8],
    effort: int = 1,
    threads: int = 1,
    isa: str = "",
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
    """Append chunk records to `sink`. Returns per record: stored, compressible, repetitive bytes.

    `effort`: 0 only splits planes, 1 codes them, 2 codes short ones adaptively (csrc/frame.h).
    """

def decode_records(
    data: Buffer,
    offsets: NDArray[np.uint64],
    out: Buffer,
    out_offsets: NDArray[np.uint64],
    threads: int = 1,
    isa: str = "",
) -> Fault | None:
    """Check the CRC of every record and decode those without the zstd flag into `out`."""

def decode_payload(payload: Buffer, out: Buffer, isa: str = "") -> Fault | None: ...
def group4(data: Buffer, isa: str = "") -> bytes:
    """Bytes sorted by their position modulo 4, the first ones' first: the byte grouping of Xet's chunks."""

def ungroup4(grouped: Buffer, isa: str = "") -> bytes:
    """Those bytes back in order."""

def crc32c(data: Buffer, crc: int = 0, isa: str = "") -> int: ...
