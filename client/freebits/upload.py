"""The push flow: which files changed, their bytes, one commit. No network access of its own.

hash -> compare with the tree -> open a session -> (encode) -> parts -> complete -> commit, compare-and-set.
A file whose bytes the hub has already, in this repo or in one the caller may read, is not sent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from freebits import wire
from freebits.encoding_choice import WORTH_ENCODING_NBYTES, LinkMeter, Race
from freebits.errors import APIError, FreebitsError, HeadMoved, NotFound, RefusedBytes, TransportError
from freebits.local_bytes import EncodingStopped, encode_to, file_changed, hash_file, sample_ratio
from freebits.local_files import LocalFile
from freebits.progress import Progress
from freebits.repos import Tree, create_if_absent, read_tree
from freebits.steps import Flow, PutPart, Work
from freebits.upload_state import FileState, Record, UploadState

COMMIT_TRIES = 8
RESEND_TRIES = 3


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did. `commit` is the head afterwards; `pushed` is empty when nothing had changed."""

    repo: str
    revision: str
    commit: str
    pushed: tuple[str, ...]
    unchanged: tuple[str, ...]
    nbytes: int
    sent_nbytes: int


@dataclass(slots=True)
class Push:
    """One push: what the caller asked, and what its files share while they are sent in parallel."""

    repo: str
    revision: str
    message: str
    visibility: str
    encode: bool | None
    threads: int
    state: UploadState
    progress: Progress
    check_stop: Callable[[], None] = lambda: None
    link: LinkMeter = field(default_factory=LinkMeter)
    claimed: set[str] = field(default_factory=set)
    sent_nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes that travel for one file: the file itself or its container."""

    source: Path
    sha256: str
    nbytes: int
    encoding: str
    stored_nbytes: int
    stored_sha256: str


def push_flow(push: Push, files: Sequence[LocalFile]) -> Flow[PushResult]:
    """Send what changed in `files` and commit it as one revision."""
    push.state.drop_stale()
    push.progress.expect(sum(file.nbytes for file in files))
    tree = yield from _head_tree(push)
    digests: list[str] = yield [_send_file(push, file, tree) for file in files]
    wanted = {file.path: (digest, file.nbytes) for file, digest in zip(files, digests, strict=True)}
    try:
        commit, changed = yield from _commit(push, tree, wanted)
    except TransportError:
        raise
    except FreebitsError:
        _forget(push, files)
        raise
    _forget(push, files)
    return PushResult(
        repo=push.repo,
        revision=push.revision,
        commit=commit,
        pushed=tuple(sorted(changed)),
        unchanged=tuple(sorted(wanted.keys() - changed)),
        nbytes=sum(wanted[path][1] for path in changed),
        sent_nbytes=push.sent_nbytes,
    )


def _forget(push: Push, files: Sequence[LocalFile]) -> None:
    """Drop what was remembered for resuming: the bytes have arrived, or the hub no longer knows them."""
    for file in files:
        push.state.of(push.repo, file).forget()


def _head_tree(push: Push) -> Flow[Tree]:
    """The files of the branch now; an absent branch is empty, an absent repo is created."""
    try:
        return (yield from read_tree(push.repo, push.revision))
    except NotFound as absent:
        if absent.code == "REPO_NOT_FOUND":
            yield from create_if_absent(push.repo, push.visibility)
        elif absent.code != "REVISION_NOT_FOUND":
            raise
    return Tree(commit=None, files={})


def _send_file(push: Push, file: LocalFile, tree: Tree) -> Flow[str]:
    """Make sure the hub has the bytes of `file`; its SHA-256."""
    state = push.state.of(push.repo, file)
    record = state.load()
    if record is None:
        [digest] = yield [Work(lambda: hash_file(file.source, file.nbytes, push.check_stop))]
        record = Record(digest)
    if tree.digest(file.path) == record.sha256 or record.sha256 in push.claimed:
        push.progress.advance(file.nbytes, 0)
        return record.sha256
    push.claimed.add(record.sha256)
    yield from _send_blob(push, file, state, record)
    return record.sha256


def _send_blob(push: Push, file: LocalFile, state: FileState, record: Record) -> Flow[None]:
    raw = Payload(file.source, record.sha256, file.nbytes, "identity", file.nbytes, record.sha256)
    if record.encoding == "freebits":
        container = replace(
            raw,
            source=state.container,
            encoding="freebits",
            stored_nbytes=record.stored_nbytes,
            stored_sha256=record.stored_sha256,
        )
        yield from _send_payload(push, state, container, record.upload_id)
        return
    upload = yield from _open(push, state, raw, record.upload_id)
    if upload.is_complete:
        push.progress.advance(file.nbytes, 0)
        return
    chosen = yield from _choose(push, file, state, raw, upload)
    if chosen is raw:
        yield from _send_payload(push, state, raw, upload.id)
    else:
        yield [wire.abort_upload(push.repo, upload.id)]
        yield from _send_payload(push, state, chosen, None)


def _choose(
    push: Push, file: LocalFile, state: FileState, raw: Payload, upload: wire.Upload
) -> Flow[Payload]:
    """The payload that arrives first: raw or encoded."""
    if push.encode is False or (push.encode is None and file.nbytes < WORTH_ENCODING_NBYTES):
        return raw
    if push.encode:
        [container] = yield [Work(lambda: _encode(push, file, state, raw, lambda _done, _stored: True))]
        return container if container and container.stored_nbytes < raw.nbytes else raw
    [ratio] = yield [Work(lambda: sample_ratio(file.source, file.nbytes))]
    wins = push.link.encoding_wins(ratio)
    if wins is False:
        return raw
    received = _part_nbytes(upload, upload.received)
    race = Race(file.nbytes, received)
    parts = [] if wins else _parts(push, raw, upload, may_send=race.may_send)
    container, *_ = yield [Work(lambda: _race_encode(push, file, state, raw, race)), *parts]
    push.link.sent(race.sent_nbytes, race.elapsed_s if parts else 0.0)
    if race.winner == "encoded" and container:
        push.progress.advance(-race.sent_nbytes, 0)
        return container
    return raw


def _race_encode(push: Push, file: LocalFile, state: FileState, raw: Payload, race: Race) -> Payload | None:
    container = _encode(push, file, state, raw, race.encoding)
    if container is None:
        race.encoder_failed()
    else:
        push.link.encoded(file.nbytes, race.elapsed_s)
        race.encoded(container.stored_nbytes)
    return container


def _encode(
    push: Push, file: LocalFile, state: FileState, raw: Payload, go_on: Callable[[int, int], bool]
) -> Payload | None:
    """The container of `file` in the state folder; None when stopped, or when the disk has no room for it."""
    draft = state.draft_container()

    def report(done_nbytes: int, stored_nbytes: int) -> bool:
        push.check_stop()
        return go_on(done_nbytes, stored_nbytes)

    try:
        encoded = encode_to(file.source, draft, threads=push.threads, go_on=report)
        if encoded.original_sha256 != raw.sha256:
            raise file_changed(file.source)
        draft.replace(state.container)
    except EncodingStopped:
        return None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    return replace(
        raw,
        source=state.container,
        encoding="freebits",
        stored_nbytes=encoded.stored_nbytes,
        stored_sha256=encoded.stored_sha256,
    )


def _open(push: Push, state: FileState, payload: Payload, upload_id: str | None) -> Flow[wire.Upload]:
    """The session `upload_id` of an earlier try if the hub still has it, else a new one."""
    if upload_id:
        with contextlib.suppress(NotFound):
            [reply] = yield [wire.get_upload(push.repo, upload_id)]
            return wire.parse(wire.Upload, reply)
    [reply] = yield [
        wire.open_upload(
            push.repo,
            sha256=payload.sha256,
            nbytes=payload.nbytes,
            encoding=payload.encoding,
            stored_nbytes=payload.stored_nbytes,
            stored_sha256=payload.stored_sha256,
        )
    ]
    upload = wire.parse(wire.Upload, reply)
    state.save(
        Record(payload.sha256, payload.encoding, upload.id, payload.stored_nbytes, payload.stored_sha256)
    )
    return upload


def _send_payload(push: Push, state: FileState, payload: Payload, upload_id: str | None) -> Flow[None]:
    """Send the parts the hub lacks and let it check the digest."""
    upload = yield from _open(push, state, payload, upload_id)
    push.progress.advance(_logical(payload, _part_nbytes(upload, upload.received)), 0)
    for tries_left in reversed(range(RESEND_TRIES)):
        if upload.is_complete:
            return
        parts = _parts(push, payload, upload)
        started = time.monotonic()
        yield parts
        push.link.sent(sum(part.stop - part.start for part in parts), time.monotonic() - started)
        try:
            [reply] = yield [wire.complete_upload(push.repo, upload.id)]
            return
        except RefusedBytes:
            state.forget()
            raise
        except APIError as refused:
            if refused.code != "PARTS_MISSING" or not tries_left:
                raise
        [reply] = yield [wire.get_upload(push.repo, upload.id)]
        upload = wire.parse(wire.Upload, reply)


def _parts(
    push: Push, payload: Payload, upload: wire.Upload, may_send: Callable[[int], bool] | None = None
) -> list[PutPart]:
    """One step per part that the hub has not received."""

    def sent(nbytes: int) -> bool:
        if may_send and not may_send(nbytes):
            return False
        push.sent_nbytes += nbytes
        push.progress.advance(_logical(payload, nbytes), nbytes)
        return True

    received = set(upload.received)
    return [
        PutPart(wire.part_path(push.repo, upload.id, n), payload.source, *upload.part_range(n), sent)
        for n in range(upload.part_count)
        if n not in received
    ]


def _commit(push: Push, tree: Tree, wanted: dict[str, tuple[str, int]]) -> Flow[tuple[str, set[str]]]:
    """Commit what differs from the branch; another commit in between is fine unless it touched our files."""
    seen, changed = tree, _changes(tree, wanted)
    for tries_left in reversed(range(COMMIT_TRIES)):
        todo = _changes(tree, wanted)
        if not todo and tree.commit:
            return tree.commit, changed
        operations = [
            {"op": "add", "path": path, "sha256": wanted[path][0], "nbytes": wanted[path][1]}
            for path in sorted(todo)
        ]
        try:
            [reply] = yield [
                wire.commit(
                    push.repo, push.revision, tree.commit, message=push.message, operations=operations
                )
            ]
            return wire.parse(wire.Commit, reply).id, changed
        except HeadMoved as moved:
            tree = yield from read_tree(push.repo, push.revision)
            if not tries_left or _conflicts(seen, tree, wanted):
                raise moved
    raise AssertionError("the loop returns or raises")


def _changes(tree: Tree, wanted: dict[str, tuple[str, int]]) -> set[str]:
    return {path for path, (digest, _) in wanted.items() if tree.digest(path) != digest}


def _conflicts(seen: Tree, now: Tree, wanted: dict[str, tuple[str, int]]) -> set[str]:
    """Paths of ours that somebody else changed since, to something other than what we push."""
    return {path for path in _changes(now, wanted) if now.digest(path) != seen.digest(path)}


def _part_nbytes(upload: wire.Upload, numbers: Sequence[int]) -> int:
    ranges = [upload.part_range(n) for n in numbers]
    return sum(stop - start for start, stop in ranges)


def _logical(payload: Payload, stored_nbytes: int) -> int:
    """Original bytes that `stored_nbytes` of the payload stand for."""
    return stored_nbytes * payload.nbytes // max(payload.stored_nbytes, 1)
