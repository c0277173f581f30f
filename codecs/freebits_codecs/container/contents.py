"""What a container holds and where, read from its ends: what random access begins with (FORMAT.md, 9.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from freebits_codecs.container.ending import (
    FOOTER_NBYTES,
    Footer,
    ending_nbytes,
    parse_digest,
    parse_index,
)
from freebits_codecs.container.records import (
    DIGESTED,
    HEADER_NBYTES,
    INDEXED,
    PAYLOAD_SLACK_NBYTES,
    RECORD_NBYTES,
    Header,
    Record,
)
from freebits_codecs.errors import CorruptContainer, LimitExceeded, TruncatedContainer

if TYPE_CHECKING:
    from freebits_codecs.container.reader import RangeSource


@dataclass(frozen=True, slots=True)
class Contents:
    """Length and digest of the original; `offsets`, int64[chunks + 1]: where records start, and where the last ends."""

    nbytes: int
    sha256: str | None
    offsets: NDArray[np.int64]


def read_contents(source: RangeSource, header: Header) -> Contents:
    """Raises FormatError or LimitExceeded when the parts do not fit together."""
    if header.ending == INDEXED:
        footer = _read_footer(source)
        return Contents(footer.nbytes, footer.sha256, _read_index(source, header, footer))
    return _read_only_chunk(source, header)


def _read_footer(source: RangeSource) -> Footer:
    at = source.nbytes - FOOTER_NBYTES
    if at < HEADER_NBYTES:
        found = source.nbytes - HEADER_NBYTES
        raise TruncatedContainer("footer", offset=HEADER_NBYTES, found=found, expected=FOOTER_NBYTES)
    return Footer.parse(bytes(source.read_at(at, FOOTER_NBYTES)), at)


def _read_index(source: RangeSource, header: Header, footer: Footer) -> NDArray[np.int64]:
    footer.check_against(
        chunk_count=-(-footer.nbytes // header.chunk_nbytes),
        nbytes=footer.nbytes,
        index_offset=source.nbytes - ending_nbytes(INDEXED, footer.chunk_count),
    )
    data = bytes(source.read_at(footer.index_offset, RECORD_NBYTES + 4 * footer.chunk_count))
    stored = parse_index(data, footer)
    limit = header.chunk_nbytes + PAYLOAD_SLACK_NBYTES
    if stored.size and int(stored.max()) > limit:
        raise LimitExceeded("stored length in the index", found=int(stored.max()), limit=limit)
    offsets = np.zeros(footer.chunk_count + 1, np.int64)
    np.cumsum(stored.astype(np.int64) + RECORD_NBYTES, out=offsets[1:])
    offsets += HEADER_NBYTES
    if int(offsets[-1]) != footer.index_offset:
        raise CorruptContainer("index", found=int(offsets[-1]), expected=footer.index_offset)
    return offsets


def _read_only_chunk(source: RangeSource, header: Header) -> Contents:
    head = bytes(source.read_at(HEADER_NBYTES, min(RECORD_NBYTES, source.nbytes - HEADER_NBYTES)))
    record = Record.parse(head, HEADER_NBYTES, header.chunk_nbytes, 0)
    record.require_chunk(0)
    stop = HEADER_NBYTES + RECORD_NBYTES + record.stored_nbytes
    end = stop + ending_nbytes(header.ending, 1)
    if source.nbytes < end:
        raise TruncatedContainer("container", offset=0, found=source.nbytes, expected=end)
    if source.nbytes > end:
        raise CorruptContainer("container length", found=source.nbytes, expected=end)
    sha256 = parse_digest(bytes(source.read_at(stop, end - stop)), stop) if header.ending == DIGESTED else None
    return Contents(record.nbytes, sha256, np.array([HEADER_NBYTES, stop], np.int64))
