"""The JSON of the REST API: one small dataclass per answer, one function per request.

The service owns the schema; tests/flows/test_wire_contract.py compares this file with its OpenAPI.
Unknown fields are ignored, so an older client keeps working with a newer hub.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from freebits.errors import ProtocolError, UsageError

API = "/api/v1"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A JSON request. `path` is quoted and starts with "/"; `json` is None for no body."""

    method: str
    path: str
    json: Any = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the token belongs to."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository; `head` is the commit of its default branch, None while empty."""

    name: str
    visibility: str
    default_branch: str
    created_at: str
    head: str | None


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch or tag and the commit it points to."""

    type: str
    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class DeletedRepo:
    """A deleted repo under the name it had, and until when it can be brought back."""

    name: str
    visibility: str
    deleted_at: str
    restorable_until: str


@dataclass(frozen=True, slots=True)
class DeletedRef:
    """A deleted branch or tag, the commit it was at, and who deleted it."""

    type: str
    name: str
    commit: str
    deleted_at: str
    by: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed revision."""

    id: str
    parent: str | None
    author: str
    message: str
    description: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a revision.

    `nbytes` and `sha256` are of the original, `stored_nbytes` of what the hub keeps.
    """

    path: str
    nbytes: int
    sha256: str
    stored_nbytes: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A resumable upload session; all parts are `part_nbytes` long but the last.

    `direct`: the hub's store takes parts itself, by URLs the hub gives.
    """

    id: str
    sha256: str
    nbytes: int
    encoding: str
    stored_nbytes: int
    part_nbytes: int
    part_count: int
    received: list[int]
    state: str
    direct: bool = False

    @property
    def is_complete(self) -> bool:
        """True when the hub has the blob and the caller may commit it."""
        return self.state == "complete"

    def part_range(self, number: int) -> tuple[int, int]:
        """[start, stop) of part `number` in the bytes that are sent."""
        start = number * self.part_nbytes
        return start, min(start + self.part_nbytes, self.stored_nbytes)


@dataclass(frozen=True, slots=True)
class Job:
    """Work of the hub on a file's content, or of kind "variant" on a revision: then `variant` says what it makes.

    `repo` and `path` are None where the caller may not read them.
    """

    id: int
    sha256: str
    nbytes: int
    repo: str | None
    path: str | None
    queue: str
    priority: int
    state: str
    attempt: int
    failures: int
    worker: str | None
    progress_nbytes: int
    outcome: str
    request_id: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    kind: str = "encode"
    variant: dict[str, Any] | None = None

    @property
    def is_active(self) -> bool:
        """Whether something will still happen to it."""
        return self.state in {"queued", "running"}


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant that was asked for: `method` of commit `source` on `branch`, whose head `commit` is if `is_head`.

    `before_nbytes` and `after_nbytes`: what its files take at the hub, and those that they replace did.
    """

    branch: str
    method: str
    parameters: dict[str, Any]
    source: str
    commit: str | None
    is_head: bool
    author: str
    job: int
    state: str
    before_nbytes: int | None
    after_nbytes: int | None
    created_at: str


@dataclass(frozen=True, slots=True)
class PartUrl:
    """Where the hub's store takes the bytes of one part."""

    number: int
    nbytes: int
    url: str


def parse(kind: type[T], body: object) -> T:
    """`body` as the dataclass `kind`; ProtocolError when a field without a default is missing."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    needed = [f.name for f in fields if f.default is dataclasses.MISSING]
    missing = [name for name in needed if name not in body] if isinstance(body, dict) else ["everything"]
    if missing:
        raise ProtocolError(
            f"the hub's {kind.__name__} lacks {', '.join(missing)}; "
            "check that the endpoint is a freebits hub and not newer than this client"
        )
    assert isinstance(body, dict)
    return kind(**{f.name: body[f.name] for f in fields if f.name in body})


def parse_items(kind: type[T], body: object) -> tuple[list[T], str | None]:
    """The items of one page and the cursor of the next, None at the end."""
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise ProtocolError("the hub's listing lacks items; check that the endpoint is a freebits hub")
    return [parse(kind, item) for item in body["items"]], body.get("next")


def repo_path(repo: str) -> str:
    """The quoted path of a repo; UsageError unless it reads NAMESPACE/NAME."""
    namespace, _, name = repo.partition("/")
    if not namespace or not name or "/" in name:
        raise UsageError(f"{repo!r} is not a repo name; write NAMESPACE/NAME, for instance alice/llama-7b")
    return f"{API}/repos/{quote(namespace, safe='')}/{quote(name, safe='')}"


def list_deleted_repos(namespace: str | None, after: str | None) -> Request:
    """A page of the deleted repos that the caller can bring back."""
    return Request("GET", with_query(f"{API}/deleted-repos", namespace=namespace, after=after))


def undelete_repo(repo: str, new_name: str | None) -> Request:
    """Bring back the repo of this name that was deleted last, as `new_name` if given."""
    return Request("POST", f"{repo_path(repo)}/undelete", {} if new_name is None else {"as": new_name})


def list_deleted_refs(repo: str, after: str | None) -> Request:
    """A page of the branches and tags that were deleted lately, newest first."""
    return Request("GET", with_query(f"{repo_path(repo)}/deleted-refs", after=after))


def create_ref(repo: str, kind: str, name: str, target: str) -> Request:
    """A branch or tag at a revision."""
    return Request("POST", f"{repo_path(repo)}/refs", {"type": kind, "name": name, "target": target})


def whoami() -> Request:
    """Who the token belongs to."""
    return Request("GET", f"{API}/whoami")


def list_jobs(state: str | None, after: int | None, limit: int) -> Request:
    """One page of jobs the caller may see, newest first."""
    return Request("GET", with_query(f"{API}/jobs", state=state, after=after, limit=limit))


def get_job(job_id: int) -> Request:
    """One job."""
    return Request("GET", f"{API}/jobs/{job_id}")


def change_job(job_id: int, action: str) -> Request:
    """Do something to a job; `action` is "retry" or "cancel"."""
    return Request("POST", f"{API}/jobs/{job_id}/{action}")


def create_variant(
    repo: str, method: str, *, revision: str | None, to: str | None, parameters: Mapping[str, Any]
) -> Request:
    """Have a variant of a revision made, on branch `to`; the answer is the job."""
    body = {"method": method, "revision": revision, "to": to, "parameters": dict(parameters)}
    return Request("POST", f"{repo_path(repo)}/variants", body)


def list_variants(repo: str, after: int | None, limit: int) -> Request:
    """One page of the variants of a repo, newest first."""
    return Request("GET", with_query(f"{repo_path(repo)}/variants", after=after, limit=limit))


def create_repo(repo: str, visibility: str) -> Request:
    """Create a repo; 409 REPO_EXISTS when it is there."""
    repo_path(repo)
    return Request("POST", f"{API}/repos", {"name": repo, "visibility": visibility})


def list_repos(namespace: str | None, after: str | None) -> Request:
    """One page of repos the caller may see."""
    return Request("GET", with_query(f"{API}/repos", namespace=namespace, after=after))


def get_repo(repo: str) -> Request:
    """One repo."""
    return Request("GET", repo_path(repo))


def delete_repo(repo: str) -> Request:
    """Delete a repo with everything in it."""
    return Request("DELETE", repo_path(repo))


def list_refs(repo: str, after: str | None) -> Request:
    """One page of branches and tags."""
    return Request("GET", with_query(f"{repo_path(repo)}/refs", after=after))


def delete_ref(repo: str, kind: str, name: str) -> Request:
    """Delete a branch or tag; `kind` is "branch" or "tag"."""
    return Request("DELETE", f"{repo_path(repo)}/refs/{kind}/{quote(name, safe='')}")


def list_tree(repo: str, revision: str, after: str | None) -> Request:
    """One page of the files of a revision, all folders."""
    path = f"{repo_path(repo)}/tree/{quote(revision, safe='')}"
    return Request("GET", with_query(path, recursive="true", after=after))


def open_upload(
    repo: str, *, sha256: str, nbytes: int, encoding: str, stored_nbytes: int, stored_sha256: str
) -> Request:
    """Start an upload session, or learn that the caller may already use the blob."""
    body = {
        "sha256": sha256,
        "nbytes": nbytes,
        "encoding": encoding,
        "stored_nbytes": stored_nbytes,
        "stored_sha256": stored_sha256,
    }
    return Request("POST", f"{repo_path(repo)}/uploads", body)


def get_upload(repo: str, upload_id: str) -> Request:
    """What an upload session has received."""
    return Request("GET", upload_path(repo, upload_id))


def complete_upload(repo: str, upload_id: str) -> Request:
    """Ask the hub to check the digest and keep the blob."""
    return Request("POST", f"{upload_path(repo, upload_id)}/complete")


def abort_upload(repo: str, upload_id: str) -> Request:
    """Give an upload session up."""
    return Request("DELETE", upload_path(repo, upload_id))


def upload_path(repo: str, upload_id: str) -> str:
    """The quoted path of an upload session."""
    return f"{repo_path(repo)}/uploads/{quote(upload_id, safe='')}"


def part_path(repo: str, upload_id: str, number: int) -> str:
    """Where the bytes of part `number` (from 0) are PUT."""
    return f"{upload_path(repo, upload_id)}/parts/{number}"


def part_urls_path(repo: str, upload_id: str, number: int) -> str:
    """Where the hub tells a URL of its store for part `number`."""
    return f"{upload_path(repo, upload_id)}/parts/urls?numbers={number}"


def part_url(body: object) -> str:
    """The one URL in the answer to `part_urls_path`."""
    items, _ = parse_items(PartUrl, body)
    if len(items) != 1 or not items[0].url.startswith(("http://", "https://")):
        raise ProtocolError("the hub's answer lacks the URL of the part; check that the endpoint is a freebits hub")
    return items[0].url


def commit(
    repo: str, branch: str, parent: str | None, *, message: str, operations: Sequence[dict[str, Any]]
) -> Request:
    """One commit on `branch` if its head still is `parent` (None: the branch must not exist yet)."""
    body = {"branch": branch, "parent": parent, "message": message, "operations": list(operations)}
    return Request("POST", f"{repo_path(repo)}/commits", body)


def resolve_path(repo: str, revision: str, path: str) -> str:
    """Where the bytes of a file are."""
    return f"{repo_path(repo)}/resolve/{quote(revision, safe='')}/{quote(path, safe='/')}"


def with_query(path: str, **values: str | int | None) -> str:
    given = {key: value for key, value in values.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path
