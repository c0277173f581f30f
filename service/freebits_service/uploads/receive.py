"""Take the bytes of one part from the network into the store.

Chunks arrive in short pieces; they are gathered to 1 MiB, hashed and written in a thread. Where the server lets it,
that thread goes on with what waits in the socket (``socket_bodies.py``); otherwise the next ones arrive meanwhile, at
most one batch in flight. Memory is bounded to some 2 MiB.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from ..blobs.store import Buffer, PartWriter
from ..errors import PartMismatch
from ..settings import MIB
from .body import Body
from .in_order import Hash
from .plan import PartPlan

BATCH_NBYTES = MIB


class _Sink:
    """Hashes and writes; runs in a thread, one batch at a time."""

    def __init__(self, writer: PartWriter, digest: Hash | None) -> None:
        self._writer = writer
        self._digest = digest

    def take(self, buffers: Sequence[Buffer]) -> None:
        """Hash and write one batch; raises StorageFull."""
        if self._digest is not None:
            for buffer in buffers:
                self._digest.update(buffer)
        self._writer.write(buffers)


async def receive_checked(
    body: Body, writer: PartWriter, plan: PartPlan, expected_sha256: str | None, *, is_all: bool = True
) -> str:
    """Write a part; returns its SHA-256. Raises what `receive_part` raises, and PartMismatch for a wrong digest."""
    digest = hashlib.sha256()
    await receive_part(body, writer, plan, digest, is_all=is_all)
    return _check_digest(plan, digest.hexdigest(), expected_sha256)


async def receive_part(
    body: Body, writer: PartWriter, plan: PartPlan, digest: Hash | None, *, is_all: bool = True
) -> None:
    """Write the next bytes of the body, or all of it, as one part, and into `digest` if there is one.

    Raises PartMismatch when there are fewer than announced, or more where it was to be all, and what the writer raises.
    Whatever is raised, the part does not count; its place in the staging area may hold some of its bytes, to be
    overwritten.
    """
    sink = _Sink(writer, digest)
    in_flight: asyncio.Task[int] | None = None
    left = plan.nbytes
    try:
        while left:
            batch = await body.gather(BATCH_NBYTES, left)
            if not batch:
                raise _mismatch(plan, str(plan.nbytes - left))
            left -= sum(map(len, batch))
            if in_flight is not None:
                await asyncio.shield(in_flight)
            waiting = body.in_socket()
            if waiting is None:
                in_flight = asyncio.create_task(_take(sink, batch))
            else:
                in_flight = waiting.pass_on(batch, sink.take, left)
                left -= await asyncio.shield(in_flight)
        if in_flight is not None:
            await asyncio.shield(in_flight)
    finally:
        if in_flight is not None and not in_flight.done():
            # The thread uses the writer, which the caller closes as soon as we return.
            await asyncio.wait([in_flight])
    if is_all and await body.is_more():
        raise _mismatch(plan, f"more than {plan.nbytes}")


async def _take(sink: _Sink, batch: Sequence[Buffer]) -> int:
    await asyncio.to_thread(sink.take, batch)
    return 0


def _mismatch(plan: PartPlan, found: str) -> PartMismatch:
    message = f"part {plan.number} has {plan.nbytes} bytes, {found} arrived"
    return PartMismatch(message, number=plan.number, nbytes=plan.nbytes)


def _check_digest(plan: PartPlan, found: str, expected: str | None) -> str:
    if expected is not None and found != expected.lower():
        raise PartMismatch(
            f"part {plan.number} has SHA-256 {found}, announced was {expected[:64]}; send it again",
            number=plan.number,
            sha256=found,
        )
    return found
