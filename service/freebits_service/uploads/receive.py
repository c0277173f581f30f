"""Take the bytes of one part from the network into the store.

Chunks arrive in pieces of some 70 kB; they are gathered to 1 MiB, hashed and written in a thread while the
next ones arrive, at most one batch in flight. That is the fastest of the ways measured, and bounds memory to
about 2 MiB.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from ..blobs.store import Buffer, PartWriter
from ..errors import PartMismatch
from ..settings import MIB
from .in_order import Hash
from .plan import PartPlan

BATCH_NBYTES = MIB


class _Sink:
    """Hashes and writes; runs in a thread, one batch at a time."""

    def __init__(self, writer: PartWriter, digest: Hash | None) -> None:
        self._writer = writer
        self._digest = digest

    def take(self, buffers: list[Buffer]) -> None:
        """Hash and write one batch; raises StorageFull."""
        if self._digest is not None:
            for buffer in buffers:
                self._digest.update(buffer)
        self._writer.write(buffers)


async def receive_checked(
    body: AsyncIterator[bytes], writer: PartWriter, plan: PartPlan, expected_sha256: str | None
) -> str:
    """Write the body as one part; returns its SHA-256. Raises what `receive_part` raises, and for a wrong digest."""
    digest = hashlib.sha256()
    await receive_part(body, writer, plan, digest)
    return _check_digest(plan, digest.hexdigest(), expected_sha256)


async def receive_part(body: AsyncIterator[bytes], writer: PartWriter, plan: PartPlan, digest: Hash | None) -> None:
    """Write the body as one part, and into `digest` if there is one.

    Raises PartMismatch when it has another length than announced, StorageFull. Whatever is raised, the part does not
    count; its place in the staging area may hold some of its bytes, to be overwritten.
    """
    sink = _Sink(writer, digest)
    in_flight: asyncio.Task[None] | None = None
    try:
        async for batch in _batches(body, plan):
            if in_flight is not None:
                await in_flight
            in_flight = asyncio.create_task(asyncio.to_thread(sink.take, batch))
        if in_flight is not None:
            await in_flight
    finally:
        if in_flight is not None and not in_flight.done():
            # The thread uses the writer, which the caller closes as soon as we return.
            await asyncio.wait([in_flight])


async def _batches(body: AsyncIterator[bytes], plan: PartPlan) -> AsyncIterator[list[Buffer]]:
    batch: list[Buffer] = []
    gathered = received = 0
    async for chunk in body:
        batch.append(chunk)
        gathered += len(chunk)
        received += len(chunk)
        if received > plan.nbytes:
            break
        if gathered >= BATCH_NBYTES:
            yield batch
            batch, gathered = [], 0
    if received != plan.nbytes:
        found = f"more than {plan.nbytes}" if received > plan.nbytes else str(received)
        raise PartMismatch(
            f"part {plan.number} has {plan.nbytes} bytes, {found} arrived",
            number=plan.number,
            nbytes=plan.nbytes,
        )
    if batch:
        yield batch


def _check_digest(plan: PartPlan, found: str, expected: str | None) -> str:
    if expected is not None and found != expected.lower():
        raise PartMismatch(
            f"part {plan.number} has SHA-256 {found}, announced was {expected[:64]}; send it again",
            number=plan.number,
            sha256=found,
        )
    return found
