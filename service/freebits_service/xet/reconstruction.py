"""What a client is told of a file: the terms it is made of, and where to fetch their xorbs.

Both versions of the answer say the same; the second one groups the ranges of a xorb below one address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..downloads.ranges import ByteRange, parse_range
from ..errors import TooLarge
from .layout import CHUNK_NBYTES, XORB_NBYTES, Term, terms, xorb_count, xorb_name

# Of one answer, 1.4 MB of JSON. Clients ask for 256 MB to 17 GB at a time; who leaves out the range of a larger file is
# refused, for an answer that ends before the range does means to clients that the file does.
MAX_TERMS = 1024
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The terms of a range of a file; the first `skipped_nbytes` bytes of the first one lie before the range."""

    sha256: str
    terms: tuple[Term, ...]
    skipped_nbytes: int

    def first_version(self, url_of: Callable[[Term], str]) -> Json:
        """As version 1 of the protocol has it; `url_of` gives the address of a term's chunks."""
        fetched = {
            self._name(term): [
                {"range": _chunks(term), "url": url_of(term), "url_range": _bytes(term)},
            ]
            for term in self.terms
        }
        return {**self._terms(), "fetch_info": fetched}

    def second_version(self, url_of: Callable[[Term], str]) -> Json:
        """As version 2 has it."""
        fetched = {
            self._name(term): [
                {"url": url_of(term), "ranges": [{"chunks": _chunks(term), "bytes": _bytes(term)}]},
            ]
            for term in self.terms
        }
        return {**self._terms(), "xorbs": fetched}

    def _terms(self) -> Json:
        listed = [
            {"hash": self._name(term), "unpacked_length": term.nbytes, "range": _chunks(term)} for term in self.terms
        ]
        return {"offset_into_first_range": self.skipped_nbytes, "terms": listed}

    def _name(self, term: Term) -> str:
        return xorb_name(self.sha256, term.number)


def reconstruct(sha256: str, nbytes: int, range_header: str | None) -> Reconstruction:
    """The terms of a file of `nbytes`, or of a range of it; raises RangeNotSatisfiable, TooLarge."""
    span = parse_range(range_header, nbytes) or ByteRange(0, nbytes)
    if xorb_count(span.stop) - span.start // XORB_NBYTES > MAX_TERMS:
        limit = (MAX_TERMS - 1) * XORB_NBYTES
        raise TooLarge(
            f"a reconstruction of {span.stop - span.start} bytes; ask with a Range of at most {limit}", limit=limit
        )
    return Reconstruction(sha256, tuple(terms(nbytes, span)), span.start % CHUNK_NBYTES)


def _chunks(term: Term) -> Json:
    return {"start": term.first, "end": term.stop}


def _bytes(term: Term) -> Json:
    """The last byte is inside of the range here."""
    return {"start": term.byte_range.start, "end": term.byte_range.stop - 1}
