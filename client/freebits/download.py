"""The pull flow: what is wanted, what is there already, the rest in parallel. No network access of its own.

Every request names the commit, so a push in between cannot mix two revisions. Encoded files travel as
containers and are decoded on arrival; either way the bytes are appended in order to a `.part` file that
survives `kill -9`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from freebits import wire
from freebits.errors import IntegrityError, UsageError
from freebits.hf_cache import CachedRepo, Snapshot
from freebits.local_files import selected
from freebits.output_folder import OutputFolder
from freebits.part_file import PartFile
from freebits.progress import Progress
from freebits.repos import read_tree
from freebits.running_out import check_room
from freebits.steps import Flow, RemoteBytes, RepresentationChanged, Stream, Work

PIECE_NBYTES = 1 << 20
Folder = OutputFolder | Snapshot


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull did. `received_nbytes` crossed the wire for the `nbytes` bytes of the pulled files."""

    repo: str
    commit: str
    output: Path
    pulled: tuple[str, ...]
    unchanged: tuple[str, ...]
    nbytes: int
    received_nbytes: int


@dataclass(slots=True)
class Pull:
    """One pull: what the caller asked, and what its files share."""

    repo: str
    revision: str
    place: OutputFolder | CachedRepo
    include: Sequence[str]
    exclude: Sequence[str]
    threads: int
    progress: Progress
    check_stop: Callable[[], None] = lambda: None
    received_nbytes: int = 0


def pull_flow(pull: Pull) -> Flow[PullResult]:
    """Bring the selected files of a revision into the folder, each complete or not at all."""
    tree = yield from read_tree(pull.repo, pull.revision)
    assert tree.commit is not None
    entries = [e for path, e in sorted(tree.files.items()) if selected(path, pull.include, pull.exclude)]
    if not entries and (pull.include or pull.exclude):
        raise UsageError("no file of this revision matches --include/--exclude; `freebits ls` shows its files")
    folder = pull.place.at(tree.commit, pull.revision, tree.kind)
    for entry in entries:
        folder.check(entry.path)
    pull.progress.expect(sum(entry.nbytes for entry in entries))
    held: list[bool] = yield [Work(partial(_holds, pull, folder, entry)) for entry in entries]
    missing = [entry for entry, is_held in zip(entries, held, strict=True) if not is_held]
    check_room(folder.parts, sum(entry.nbytes for entry in missing))
    first = {entry.sha256: entry for entry in reversed(missing)}
    yield [_pull_file(pull, folder, tree.commit, entry) for entry in first.values()]
    yield [Work(partial(_copy, pull, folder, first[e.sha256], e)) for e in missing if e is not first[e.sha256]]
    folder.tidy()
    return PullResult(
        repo=pull.repo,
        commit=tree.commit,
        output=folder.root,
        pulled=tuple(entry.path for entry in missing),
        unchanged=tuple(entry.path for entry, is_held in zip(entries, held, strict=True) if is_held),
        nbytes=sum(entry.nbytes for entry in missing),
        received_nbytes=pull.received_nbytes,
    )


def _holds(pull: Pull, folder: Folder, entry: wire.Entry) -> bool:
    held = folder.holds(entry.path, entry.sha256, entry.nbytes, pull.check_stop)
    if held:
        pull.progress.advance(entry.nbytes, 0)
    return held


def _copy(pull: Pull, folder: Folder, source: wire.Entry, entry: wire.Entry) -> None:
    folder.copy(source.path, entry.path)
    pull.progress.advance(entry.nbytes, 0)


def _pull_file(pull: Pull, folder: Folder, commit: str, entry: wire.Entry) -> Flow[None]:
    if entry.nbytes == 0:
        yield [Work(partial(_write_empty, folder, entry))]
        return
    path = wire.resolve_path(pull.repo, commit, entry.path)
    accept_container = entry.state == "encoded"
    while True:
        try:
            yield [Stream(path, accept_container, partial(_receive, pull, folder, entry))]
            return
        except RepresentationChanged:
            accept_container = not accept_container


def _write_empty(folder: Folder, entry: wire.Entry) -> None:
    with PartFile(folder.parts, entry.sha256, 0) as part:
        folder.keep(part, entry.path, entry.sha256)


def _receive(pull: Pull, folder: Folder, entry: wire.Entry, remote: RemoteBytes) -> None:
    """Append what is missing to the `.part` file, then give it its name."""
    with PartFile(folder.parts, entry.sha256, entry.nbytes) as part:
        pull.progress.advance(part.nbytes, 0)
        try:
            if remote.is_container:
                _decode(pull, part, remote)
            else:
                _copy_plain(pull, part, remote)
        except RepresentationChanged:
            pull.progress.advance(-part.nbytes, 0)
            raise
        except _codec_error() as error:
            raise IntegrityError(
                f"{entry.path}: the hub's container is damaged ({error}); run the same command again, "
                "and if it repeats tell the hub's administrator"
            ) from error
        folder.keep(part, entry.path, entry.sha256)


def _decode(pull: Pull, part: PartFile, remote: RemoteBytes) -> None:
    if not part.nbytes:
        remote.fetch_ahead()  # what comes is known, and the decoder takes a while to import
    from freebits_codecs import ContainerReader  # noqa: PLC0415  numpy costs 0.1 s; plain files need none

    reader = ContainerReader(remote, threads=pull.threads)
    if reader.nbytes != part.total_nbytes:
        raise IntegrityError(
            f"the hub's container holds {reader.nbytes} bytes where the revision says {part.total_nbytes}; "
            "tell the hub's administrator"
        )
    remote.read_ahead()
    for piece in reader.iter(part.nbytes):
        part.append(piece)
        stored_nbytes = len(piece) * remote.nbytes // reader.nbytes
        pull.received_nbytes += stored_nbytes
        pull.progress.advance(len(piece), stored_nbytes)


def _copy_plain(pull: Pull, part: PartFile, remote: RemoteBytes) -> None:
    if remote.nbytes != part.total_nbytes:
        raise IntegrityError(
            f"the hub sends {remote.nbytes} bytes where the revision says {part.total_nbytes}; "
            "tell the hub's administrator"
        )
    remote.read_ahead()
    while part.nbytes < part.total_nbytes:
        piece = remote.read_at(part.nbytes, min(PIECE_NBYTES, part.total_nbytes - part.nbytes))
        part.append(piece)
        pull.received_nbytes += len(piece)
        pull.progress.advance(len(piece), len(piece))


def _codec_error() -> type[Exception]:
    from freebits_codecs.errors import CodecError  # noqa: PLC0415

    return CodecError
