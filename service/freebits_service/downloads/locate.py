"""From a revision and a path to the object that answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from freebits_codecs import MEDIA_TYPE, SYMMETRIC_MEDIA_TYPE

from ..accounts.principal import Principal, require_user
from ..context import Hub
from ..errors import BlobDamaged, PathNotFound
from ..mirror.address import Address
from ..mirror.queries import is_awaited
from ..models import Blob, Repo
from ..names import check_path, is_commit_id
from ..repos.operations import readable_repo, resolve_revision
from ..trees.queries import find_file
from .ranges import accepts

YEAR_S = 365 * 86400


@dataclass(frozen=True, slots=True)
class AwaitedBy:
    """The mirrored repo that has a file by name only: its bytes are to be fetched from the upstream."""

    repo_id: int
    address: Address


@dataclass(frozen=True, slots=True)
class Located:
    """A file of a commit and who may cache it."""

    path: str
    commit: str
    blob: Blob
    is_public: bool
    by_commit: bool
    awaited_by: AwaitedBy | None = None

    @property
    def state(self) -> str:
        """Of the blob, as it is for this repo."""
        return self.blob.state if self.awaited_by is None else "remote"

    def file_name(self, answer: Representation) -> str:
        """The name under which the answer is saved."""
        return self.path.rpartition("/")[2] + (".fb" if answer.form == "container" else "")


@dataclass(frozen=True, slots=True)
class Representation:
    """What is sent for a file: `key` as it is stored, decoded or expanded; `nbytes` and `etag` are of what is sent."""

    key: str
    form: Literal["raw", "decoded", "container", "expanded"]
    nbytes: int
    etag: str
    media_type: str | None = None


def locate(
    hub: Hub, caller: Principal, namespace: str, name: str, revision: str, path: str, kind: str | None = None
) -> Located:
    """The file at a path of a revision; raises RevisionNotFound, PathNotFound, InvalidPath, RepoNotFound.

    Of a file that only users have fetched a stranger is told nothing before it is here (Unauthenticated).
    """
    check_path(path)
    with hub.db.snapshot() as session:
        repo = readable_repo(session, caller, namespace, name, kind)
        commit = resolve_revision(session, repo, revision)
        blob = find_file(session, commit.tree_id, path)
        awaited_by = _awaited_by(session, repo, blob) if blob is not None else None
    if awaited_by is not None and hub.settings.upstream_users_only:
        require_user(caller)
    if blob is None:
        raise PathNotFound(path, revision, commit.digest)
    return Located(path, commit.digest, blob, repo.visibility == "public", is_commit_id(revision), awaited_by)


def _awaited_by(session: Session, repo: Repo, blob: Blob) -> AwaitedBy | None:
    """Who awaits the bytes: a mirrored repo, also when they were here and have been damaged."""
    if repo.mirrored_at is None or (blob.is_good and not is_awaited(session, repo.id, blob.id)):
        return None
    return AwaitedBy(repo.id, Address(repo.kind, repo.namespace, repo.name))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Containers that the client can make sense of. Symmetric forms have a type of their own: they are not the file."""

    container: bool = False
    symmetric: bool = False

    @staticmethod
    def of(accept: str | None) -> Wanted:
        """What an Accept header names."""
        return Wanted(accepts(accept, MEDIA_TYPE), accepts(accept, SYMMETRIC_MEDIA_TYPE))

    @property
    def any(self) -> bool:
        return self.container or self.symmetric


def answer_for(located: Located, wanted: Wanted) -> Representation:
    """What is sent for a file: the plain bytes as they come if they are awaited. Raises BlobDamaged."""
    if located.awaited_by is not None:
        return Representation("", "raw", located.blob.nbytes, f'"{located.blob.sha256}"')
    return represent(located.blob, wanted)


def represent(blob: Blob, wanted: Wanted) -> Representation:
    """The container for who asks for one of its kind, the plain bytes otherwise. Raises BlobDamaged."""
    if blob.damaged_at is not None:
        raise BlobDamaged(blob.sha256)
    etag = f'"{blob.sha256}"'
    if blob.container_key is None:
        assert blob.raw_key is not None, f"blob {blob.sha256} has neither raw bytes nor a container"
        return Representation(blob.raw_key, "raw", blob.nbytes, etag)
    if wanted.symmetric if blob.symmetric else wanted.container:
        media_type = SYMMETRIC_MEDIA_TYPE if blob.symmetric else MEDIA_TYPE
        stored_etag = f'"fb-{blob.container_sha256}"'
        return Representation(blob.container_key, "container", blob.stored_nbytes, stored_etag, media_type)
    return Representation(blob.container_key, "expanded" if blob.symmetric else "decoded", blob.nbytes, etag)


def cache_control(located: Located, answer: Representation, wanted: Wanted) -> str:
    """What was asked for by commit never changes; the rest is revalidated (cheaply, by its ETag).

    Somebody who asked for a container that is not there yet should get it later, so that answer is
    revalidated too.
    """
    if not located.by_commit or (wanted.any and answer.form != "container"):
        return "no-cache" if located.is_public else "private, no-cache"
    return f"{'public' if located.is_public else 'private'}, max-age={YEAR_S}, immutable"


def content_type(path: str, answer: Representation) -> str:
    """A type that no browser executes: a short list of harmless ones, bytes for everything else (HTML, SVG, ...)."""
    return answer.media_type or _HARMLESS.get(path.rpartition(".")[2].lower(), "application/octet-stream")


_HARMLESS = {
    "json": "application/json",
    "md": "text/plain; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "yaml": "text/plain; charset=utf-8",
    "yml": "text/plain; charset=utf-8",
    "toml": "text/plain; charset=utf-8",
    "csv": "text/plain; charset=utf-8",
    "py": "text/plain; charset=utf-8",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
}
