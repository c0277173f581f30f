"""The push flow: which files changed, their bytes, one commit. No network access of its own.

hash -> compare with the tree -> send (upload_blob.py) -> commit, compare-and-set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from freebits import wire
from freebits.encoding_choice import LinkMeter
from freebits.errors import FreebitsError, HeadMoved, Interrupted, NotFound, TransportError
from freebits.local_bytes import hash_file
from freebits.local_files import LocalFile
from freebits.progress import Progress
from freebits.repos import Tree, create_if_absent, read_tree
from freebits.steps import Flow, Work
from freebits.upload_blob import BlobUpload, send_blob
from freebits.upload_state import FileState, Record, UploadState

COMMIT_TRIES = 8
_REMEMBER_DIGEST_NBYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did. `commit` is the head afterwards; `pushed` is empty when nothing had changed.

    `nbytes` counts the pushed files, `sent_nbytes` the bytes of them that crossed the wire.
    """

    repo: str
    revision: str
    commit: str
    pushed: tuple[str, ...]
    unchanged: tuple[str, ...]
    nbytes: int
    sent_nbytes: int


@dataclass(slots=True)
class Push:
    """One push: what the caller asked, and what its files share while they are sent in parallel.

    `encode`: None when that is faster than the link, True always, False never.
    """

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

    def sent(self, nbytes: int, stored_nbytes: int) -> None:
        """`stored_nbytes` bytes crossed the wire, for `nbytes` original ones."""
        self.sent_nbytes += stored_nbytes
        self.progress.advance(nbytes, stored_nbytes)


def push_flow(push: Push, files: Sequence[LocalFile]) -> Flow[PushResult]:
    """Send what changed in `files` and commit it as one revision."""
    push.state.drop_stale()
    push.progress.expect(sum(file.nbytes for file in files))
    tree = yield from _head_tree(push)
    digests: list[str] = yield [_send_file(push, file, tree) for file in files]
    wanted = {file.path: (digest, file.nbytes) for file, digest in zip(files, digests, strict=True)}
    try:
        commit, changed = yield from _commit(push, tree, wanted)
    except (TransportError, Interrupted):
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
        record = yield from _digest(push, file, state)
    if tree.digest(file.path) == record.sha256 or record.sha256 in push.claimed:
        push.progress.advance(file.nbytes, 0)
        return record.sha256
    push.claimed.add(record.sha256)
    yield from send_blob(BlobUpload(push, file, state, record))
    return record.sha256


def _digest(push: Push, file: LocalFile, state: FileState) -> Flow[Record]:
    [digest] = yield [Work(lambda: hash_file(file.source, file.nbytes, push.check_stop))]
    record = Record(digest)
    if file.nbytes >= _REMEMBER_DIGEST_NBYTES:
        state.save(record)
    return record


def _commit(push: Push, tree: Tree, wanted: dict[str, tuple[str, int]]) -> Flow[tuple[str, set[str]]]:
    """Commit what differs from the branch; another commit in between is fine unless it touched our files."""
    seen, changed = tree, _changes(tree, wanted)
    for tries_left in reversed(range(COMMIT_TRIES)):
        todo = _changes(tree, wanted)
        if not todo and tree.commit:
            return tree.commit, changed
        operations = [
            {"op": "add", "path": path, "sha256": wanted[path][0], "nbytes": wanted[path][1]} for path in sorted(todo)
        ]
        try:
            [reply] = yield [
                wire.commit(push.repo, push.revision, tree.commit, message=push.message, operations=operations)
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
