"""What a flow asks its driver to do.

A flow is a generator without network access: it yields batches of steps that may run in parallel and is sent
their results in the same order. When a step fails the error is thrown into the flow at the yield. The same
flow is driven by threads, by asyncio, and by hand in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from freebits.errors import FreebitsError
from freebits.wire import Request

T = TypeVar("T")


class RepresentationChanged(FreebitsError):
    """The hub encoded or replaced the file while it was read; a pull reads on in the new form."""

    def __init__(self) -> None:
        super().__init__("the file changed at the hub while it was read; open it again")


class RemoteBytes(Protocol):
    """A file at the hub, readable at offsets from several threads (a RangeSource of the codecs)."""

    nbytes: int
    is_container: bool

    def read_at(self, offset: int, nbytes: int) -> bytes | memoryview:
        """Exactly `nbytes` bytes from `offset`, or an error."""
        ...

    def fetch_ahead(self) -> None:
        """Begin to fetch what follows the head, for reads from the first byte on that come later."""
        ...

    def read_ahead(self) -> None:
        """From now on expect mostly ascending reads, and fetch what follows in parallel."""
        ...


@dataclass(frozen=True, slots=True)
class PutPart:
    """Send bytes [start, stop) of a local file. The result is False when `may_send` refused on the way.

    `may_send(nbytes)` is called before each piece of `nbytes` bytes; once it answers False the rest is not
    sent. `urls_path` is where the hub tells a URL of its store for the part; then it goes there and not to `path`.
    """

    path: str
    source: Path
    start: int
    stop: int
    may_send: Callable[[int], bool]
    urls_path: str | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Read the file at `path` through `consume`, which runs in a thread; its result is the step's result."""

    path: str
    accept_container: bool
    consume: Callable[[RemoteBytes], Any]


@dataclass(frozen=True, slots=True)
class Work:
    """Local work (hashing, encoding, disk), run in a thread."""

    run: Callable[[], Any]


Step: TypeAlias = "Request | PutPart | Stream | Work | Flow[Any]"
Flow: TypeAlias = Generator[Sequence[Step], list[Any], T]
