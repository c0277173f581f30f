"""The bytes of one file on their way to the hub, raw or encoded. No network access of its own.

open a session -> (encode) -> parts the hub lacks -> complete. The session's id and the container are
remembered, so a killed push sends only the parts that did not arrive. A blob the caller may already use is
not sent at all.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freebits import wire
from freebits.encoding_choice import WORTH_ENCODING_NBYTES, Race
from freebits.errors import APIError, NotFound, RefusedBytes
from freebits.local_bytes import EncodingStopped, encode_to, file_changed, sample_ratio
from freebits.local_files import LocalFile
from freebits.steps import Flow, PutPart, Work
from freebits.upload_state import FileState, Record

if TYPE_CHECKING:
    from freebits.upload import Push

RESEND_TRIES = 3


@dataclass(frozen=True, slots=True)
class BlobUpload:
    """One file of a push, what is remembered of an earlier try, and its SHA-256 in `record`."""

    push: Push
    file: LocalFile
    state: FileState
    record: Record

    @property
    def raw(self) -> Payload:
        """The file as it is."""
        record, nbytes = self.record, self.file.nbytes
        return Payload(self.file.source, "identity", nbytes, nbytes, record.sha256)

    def container(self, stored_nbytes: int, stored_sha256: str) -> Payload:
        """The container that was written to the state folder."""
        return Payload(self.state.container, "freebits", self.file.nbytes, stored_nbytes, stored_sha256)


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes that travel for a file of `nbytes` bytes: the file itself or its container."""

    source: Path
    encoding: str
    nbytes: int
    stored_nbytes: int
    stored_sha256: str

    def original_nbytes(self, stored_nbytes: int) -> int:
        """Original bytes that `stored_nbytes` bytes of the payload stand for."""
        return stored_nbytes * self.nbytes // max(self.stored_nbytes, 1)


def send_blob(blob: BlobUpload) -> Flow[None]:
    """Make sure the hub has the file's bytes."""
    record = blob.record
    if record.encoding == "freebits":
        payload = blob.container(record.stored_nbytes, record.stored_sha256)
        upload = yield from _open(blob, payload, record.upload_id)
        yield from _send_payload(blob, payload, upload)
        return
    upload = yield from _open(blob, blob.raw, record.upload_id)
    chosen = blob.raw if upload.is_complete else (yield from _choose(blob, upload))
    if chosen != blob.raw:
        yield [wire.abort_upload(blob.push.repo, upload.id)]
        upload = yield from _open(blob, chosen, None)
    yield from _send_payload(blob, chosen, upload)


def _open(blob: BlobUpload, payload: Payload, upload_id: str | None) -> Flow[wire.Upload]:
    """The session `upload_id` of an earlier try if the hub still has it, else a new one."""
    repo, progress = blob.push.repo, blob.push.progress
    if upload_id:
        with contextlib.suppress(NotFound):
            [reply] = yield [wire.get_upload(repo, upload_id)]
            upload = wire.parse(wire.Upload, reply)
            if not upload.is_complete:
                progress.advance(payload.original_nbytes(_nbytes_of(upload, upload.received)), 0)
            return upload
    request = wire.open_upload(
        repo,
        sha256=blob.record.sha256,
        nbytes=payload.nbytes,
        encoding=payload.encoding,
        stored_nbytes=payload.stored_nbytes,
        stored_sha256=payload.stored_sha256,
    )
    [reply] = yield [request]
    upload = wire.parse(wire.Upload, reply)
    blob.state.save(
        Record(blob.record.sha256, payload.encoding, upload.id, payload.stored_nbytes, payload.stored_sha256)
    )
    return upload


def _send_payload(blob: BlobUpload, payload: Payload, upload: wire.Upload) -> Flow[None]:
    """Send the parts the hub lacks and let it check the digest."""
    push = blob.push
    if upload.is_complete:
        push.progress.advance(payload.nbytes, 0)
        return
    for tries_left in reversed(range(RESEND_TRIES)):
        parts = _parts(blob, payload, upload)
        started = time.monotonic()
        yield parts
        push.link.sent(sum(part.stop - part.start for part in parts), time.monotonic() - started)
        try:
            yield [wire.complete_upload(push.repo, upload.id)]
            return
        except RefusedBytes:
            blob.state.forget()
            raise
        except APIError as refused:
            if refused.code != "PARTS_MISSING" or not tries_left:
                raise
        upload = yield from _look_again(blob, upload)


def _look_again(blob: BlobUpload, upload: wire.Upload) -> Flow[wire.Upload]:
    [reply] = yield [wire.get_upload(blob.push.repo, upload.id)]
    return wire.parse(wire.Upload, reply)


def _choose(blob: BlobUpload, upload: wire.Upload) -> Flow[Payload]:
    """The payload that arrives first: raw or encoded. Raw parts may have been sent when it is raw."""
    push, file = blob.push, blob.file
    if push.encode is False or (push.encode is None and file.nbytes < WORTH_ENCODING_NBYTES):
        return blob.raw
    if push.encode:
        [container] = yield [Work(lambda: _encode(blob, lambda _done, _stored: True))]
        return container or blob.raw
    [ratio] = yield [Work(lambda: sample_ratio(file.source, file.nbytes))]
    wins = push.link.encoding_wins(ratio)
    return blob.raw if wins is False else (yield from _race(blob, upload, alone=wins is True))


def _race(blob: BlobUpload, upload: wire.Upload, *, alone: bool) -> Flow[Payload]:
    """Encode; unless encoding is known to win (`alone`), send raw parts meanwhile."""
    push = blob.push
    race = Race(blob.file.nbytes, _nbytes_of(upload, upload.received))
    parts = [] if alone else _parts(blob, blob.raw, upload, may_send=race.may_send)
    [container, *_] = yield [Work(lambda: _run_encoder(blob, race)), *parts]
    if parts:
        push.link.sent(race.sent_nbytes, race.elapsed_s)
    if race.winner == "encoded" and container:
        push.progress.advance(-race.sent_nbytes, 0)
        return container  # type: ignore[no-any-return]
    upload.received[:] = (yield from _look_again(blob, upload)).received
    return blob.raw


def _run_encoder(blob: BlobUpload, race: Race) -> Payload | None:
    container = _encode(blob, race.encoding)
    if container is None:
        race.encoder_failed()
    else:
        blob.push.link.encoded(blob.file.nbytes, race.elapsed_s)
        race.encoded(container.stored_nbytes)
    return container


def _encode(blob: BlobUpload, go_on: Callable[[int, int], bool]) -> Payload | None:
    """The file's container in the state folder; None when stopped, or when the disk has no room for it."""
    draft = blob.state.draft_container()

    def report(done_nbytes: int, stored_nbytes: int) -> bool:
        blob.push.check_stop()
        return go_on(done_nbytes, stored_nbytes)

    try:
        encoded = encode_to(blob.file.source, draft, threads=blob.push.threads, go_on=report)
        if encoded.original_sha256 != blob.record.sha256:
            raise file_changed(blob.file.source)
        draft.replace(blob.state.container)
    except EncodingStopped:
        return None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    return blob.container(encoded.stored_nbytes, encoded.stored_sha256)


def _parts(
    blob: BlobUpload, payload: Payload, upload: wire.Upload, may_send: Callable[[int], bool] | None = None
) -> list[PutPart]:
    """One step per part that the hub has not received."""

    def sent(nbytes: int) -> bool:
        if may_send and not may_send(nbytes):
            return False
        blob.push.sent(payload.original_nbytes(nbytes), nbytes)
        return True

    repo, received = blob.push.repo, set(upload.received)

    def step(number: int) -> PutPart:
        start, stop = upload.part_range(number)
        urls_path = wire.part_urls_path(repo, upload.id, number) if upload.direct else None
        return PutPart(wire.part_path(repo, upload.id, number), payload.source, start, stop, sent, urls_path)

    return [step(n) for n in range(upload.part_count) if n not in received]


def _nbytes_of(upload: wire.Upload, numbers: Sequence[int]) -> int:
    ranges = [upload.part_range(n) for n in numbers]
    return sum(stop - start for start, stop in ranges)
