"""The rows of a large hub, as its service would have written them: the pages come from ``trees/pages.py`` itself.

What is made, and why it looks as it does:

- most repos are small (log-normal, tens of files), a few have 100,000 files, some a history of a thousand commits;
- every repo has ``config.json`` and ``model.safetensors`` with content that is really in the store (the blobs the
  hub had before), so that it can be pulled; all other files are rows only: they can be listed and asked for by HEAD;
- half of those files share their content with others, as forks and resumed checkpoints do;
- a good half of the repos is private, the owner of each has a token.

Everything but the ends of the keys follows from the numbers and the seed of the plan.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from freebits_service.blobs.keys import new_container_key, new_raw_key
from freebits_service.commits.operations import commit_id
from freebits_service.trees.pages import Changes, Leaf, NewPage, Span, edit, tree_digest

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FAR = datetime(2036, 1, 1, tzinfo=UTC)
SMALL_NBYTES = 4096  # smaller files stay raw
NULL = r"\N"
Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """How much of what. `pool` are blobs that are in the store."""

    repos: int = 100_000
    files: int = 10_000_000
    huge_repos: int = 10
    huge_files: int = 100_000
    long_histories: int = 20
    long_commits: int = 1000
    users: int = 10_000
    jobs: int = 200_000
    uploads: int = 50_000
    audits: int = 200_000
    pool: Sequence[Leaf] = ()
    seed: int = 1


def token_of(user: int) -> str:
    """The token of a seeded user (its row number)."""
    return f"fb_seeded-{user}"


def user_name(user: int) -> str:
    """The name and namespace of a seeded user."""
    return f"user-{user:06}"


@dataclass(slots=True)
class _RowIds:
    """Row numbers go on behind those that are there."""

    last: Mapping[str, int]
    counters: dict[str, Iterator[int]] = field(default_factory=dict)

    def next(self, table: str) -> int:
        return next(self.counters.setdefault(table, count(self.last.get(table, 0) + 1)))


def rows(plan: SeedPlan, last_ids: Mapping[str, int]) -> Iterator[tuple[str, Row]]:
    """Every row as (table, values in the order of `COLUMNS`); repos come one after the other."""
    ids, chance = _RowIds(last_ids), random.Random(plan.seed)
    users = [ids.next("user") for _ in range(plan.users)]
    for user in users:
        yield "user", (user, user_name(user), "user", BEGAN)
        digest = hashlib.sha256(token_of(user).encode()).hexdigest()
        yield "token", (ids.next("token"), user, digest, "seeded", BEGAN)
    blobs = _Blobs(ids, chance, list(plan.pool))
    for number, nfiles in enumerate(_sizes(plan, chance)):
        owner = users[int(len(users) * chance.random() ** 2)]  # some have many repos, most have few
        commits = plan.long_commits if number % max(1, plan.repos // max(1, plan.long_histories)) == 1 else 1
        yield from _repo(_NewRepo(number, owner, nfiles, commits), ids, blobs, chance)
    yield from _side_tables(plan, ids, blobs, users)


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "user": ("id", "name", "role", "created_at"),
    "token": ("id", "user_id", "digest", "label", "created_at"),
    "repo": ("id", "namespace", "name", "visibility", "default_branch", "created_at"),
    "blob": (
        *("id", "sha256", "nbytes", "state", "raw_key", "container_key", "container_nbytes", "container_sha256"),
        *("created_at", "encoded_at"),
    ),
    "repo_blob": ("repo_id", "blob_id"),
    "tree_page": ("id", "repo_id", "digest"),
    "tree_entry": ("page_id", "path", "blob_id"),
    "tree": ("id", "repo_id", "digest"),
    "tree_span": ("tree_id", "first_path", "page_id"),
    "commit": (*("id", "repo_id", "digest", "parent_id", "tree_id", "author", "message", "description", "created_at"),),
    "ref": ("id", "repo_id", "kind", "name", "commit_id"),
    "job": (
        *("id", "key", "queue", "blob_id", "state", "attempt", "failures", "not_before", "progress_nbytes"),
        *("outcome", "encode_s", "created_at", "finished_at"),
    ),
    "upload": (
        *("id", "repo_id", "user_id", "sha256", "nbytes", "encoding", "stored_nbytes", "stored_sha256"),
        *("part_nbytes", "staging", "state", "created_at", "expires_at"),
    ),
    "audit": ("id", "at", "user", "action", "repo", "detail"),
}


def _sizes(plan: SeedPlan, chance: random.Random) -> list[int]:
    """Files per repo, `plan.files` in all: huge ones spread among log-normal ones."""
    ordinary = plan.repos - plan.huge_repos
    weights = [chance.lognormvariate(0, 1.2) for _ in range(ordinary)]
    scale = max(0, plan.files - plan.huge_repos * plan.huge_files - 2 * ordinary) / sum(weights)
    sizes = [2 + int(weight * scale) for weight in weights]
    for number in range(plan.huge_repos):
        sizes.insert(number * max(1, plan.repos // max(1, plan.huge_repos)), plan.huge_files)
    return sizes


class _Blobs:
    """Content: from the pool, new, or seen before. All of a seeded blob follows from its row number."""

    def __init__(self, ids: _RowIds, chance: random.Random, pool: list[Leaf]) -> None:
        self._ids, self._chance, self.pool = ids, chance, pool
        self.first = self.last = 0
        self.fresh: list[int] = []

    def take(self, path: str) -> Leaf:
        """The file of a path: one of the pool for the two files every repo has."""
        if path in PULLED and self.pool:
            return _moved(self._chance.choice(self.pool), path)
        if self.last and self._chance.random() < 0.5:
            return _leaf(path, self._chance.randint(max(self.first, self.last - 1_000_000), self.last))
        self.last = self._ids.next("blob")
        self.first = self.first or self.last
        self.fresh.append(self.last)
        return _leaf(path, self.last)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """The rows of the blobs that are new since the last call."""
        for blob in self.fresh:
            yield "blob", _blob_row(blob)
        self.fresh.clear()


PULLED = ("config.json", "model.safetensors")


def _moved(leaf: Leaf, path: str) -> Leaf:
    return Leaf(path, leaf.blob_id, leaf.sha256, leaf.nbytes)


def _leaf(path: str, blob: int) -> Leaf:
    digest = hashlib.sha256(b"blob %d" % blob)
    size = int.from_bytes(digest.digest()[:4], "big")
    return Leaf(path, blob, digest.hexdigest(), size % 4000 if size % 3 == 0 else size)


def _blob_row(blob: int) -> Row:
    leaf = _leaf("", blob)
    origin = f"u-{leaf.sha256[:32]}"
    at = BEGAN + timedelta(seconds=blob)
    if leaf.nbytes < SMALL_NBYTES:
        return (blob, leaf.sha256, leaf.nbytes, "raw", new_raw_key(leaf.sha256, origin), NULL, NULL, NULL, at, NULL)
    stored = hashlib.sha256(b"container %d" % blob).hexdigest()
    key = new_container_key(leaf.sha256, origin)
    return (blob, leaf.sha256, leaf.nbytes, "encoded", NULL, key, leaf.nbytes * 7 // 10, stored, at, at)


@dataclass(frozen=True, slots=True)
class _NewRepo:
    number: int
    owner: int
    nfiles: int
    commits: int


def _repo(new: _NewRepo, ids: _RowIds, blobs: _Blobs, chance: random.Random) -> Iterator[tuple[str, Row]]:
    repo_id = ids.next("repo")
    visibility = "private" if chance.random() < 0.6 else "public"
    name = user_name(new.owner)
    yield "repo", (repo_id, name, f"model-{new.number:06}", visibility, "main", BEGAN)
    store = _Stored(repo_id, ids)
    changes: Changes = {path: blobs.take(path) for path in paths(new.nfiles)}
    held: set[int] = set()
    parent: tuple[int, str] | None = None
    for position in range(new.commits):
        if position:
            path = chance.choice(("training.log", "README.md", "checkpoint-0/optimizer.safetensors"))
            changes = {path: blobs.take(path)}
        yield from store.commit(changes)
        held.update(leaf.blob_id for leaf in changes.values() if leaf)
        at = BEGAN + timedelta(seconds=new.number + position)
        message = f"step {position}"
        digest = commit_id(
            tree=store.digest,
            parent=parent[1] if parent else None,
            author=name,
            message=message,
            description="",
            created_at=at,
        )
        row = ids.next("commit")
        above = parent[0] if parent else NULL
        yield "commit", (row, repo_id, digest, above, store.tree_id, name, message, "", at)
        parent = row, digest
    assert parent is not None
    yield "ref", (ids.next("ref"), repo_id, "branch", "main", parent[0])
    yield from blobs.rows()
    for blob in held:
        yield "repo_blob", (repo_id, blob)


def paths(nfiles: int) -> Iterator[str]:
    """Names as checkpoints have them: the two that can be pulled, then shards in folders of 200."""
    yield from PULLED
    for number in range(nfiles - len(PULLED)):
        yield f"checkpoint-{number // 200}/model-{number % 200:05}-of-00200.safetensors"


class _Stored:
    """The trees of one repo, edited by the service's own function; pages are kept by their digest as there."""

    def __init__(self, repo_id: int, ids: _RowIds) -> None:
        self._repo_id, self._ids = repo_id, ids
        self._spans: list[Span] = []
        self._leaves: dict[int, Sequence[Leaf]] = {}
        self._by_digest: dict[str, int] = {}
        self._digests: dict[int, str] = {}
        self._trees: dict[str, int] = {}
        self.tree_id, self.digest = 0, ""

    def commit(self, changes: Changes) -> Iterator[tuple[str, Row]]:
        """The rows that these changes add."""
        pages = edit(self._spans, changes, lambda wanted: {page: self._leaves[page] for page in wanted})
        self._spans = []
        for page in pages:
            if isinstance(page, NewPage):
                yield from self._add(page)
                self._spans.append(Span(page.first_path, self._by_digest[page.digest]))
            else:
                self._spans.append(page)
        self.digest = tree_digest(self._digests[span.page_id] for span in self._spans)
        if self.digest in self._trees:
            self.tree_id = self._trees[self.digest]
            return
        self.tree_id = self._trees[self.digest] = self._ids.next("tree")
        yield "tree", (self.tree_id, self._repo_id, self.digest)
        yield from (("tree_span", (self.tree_id, span.first_path, span.page_id)) for span in self._spans)

    def _add(self, page: NewPage) -> Iterator[tuple[str, Row]]:
        if page.digest in self._by_digest:
            return
        row = self._by_digest[page.digest] = self._ids.next("tree_page")
        self._digests[row], self._leaves[row] = page.digest, page.leaves
        yield "tree_page", (row, self._repo_id, page.digest)
        yield from (("tree_entry", (row, leaf.path, leaf.blob_id)) for leaf in page.leaves)


def _side_tables(plan: SeedPlan, ids: _RowIds, blobs: _Blobs, users: list[int]) -> Iterator[tuple[str, Row]]:
    """Jobs that are done (and a few that wait), finished uploads, the audit trail."""
    first_repo = ids.last.get("repo", 0) + 1
    leaf = partial(_leaf, "")
    for number, blob in zip(range(plan.jobs), range(blobs.first, blobs.last + 1), strict=False):
        at = BEGAN + timedelta(seconds=number)
        state, ended = ("done", at) if number % 100 else ("parked", at)
        key = f"encode:{leaf(blob).sha256}"
        yield "job", (ids.next("job"), key, "cpu", blob, state, 1, 0, at, leaf(blob).nbytes, "", 1.5, at, ended)
    for number, blob in zip(range(plan.uploads), range(blobs.first, blobs.last + 1), strict=False):
        sha256, nbytes = leaf(blob).sha256, leaf(blob).nbytes
        yield (
            "upload",
            (
                *(hashlib.sha256(b"upload %d" % number).hexdigest()[:32], first_repo + number % plan.repos),
                *(users[number % len(users)], sha256, nbytes, "identity", nbytes, sha256),
                *(16 << 20, "", "complete", BEGAN, FAR),
            ),
        )
    for number in range(plan.audits):
        user = user_name(users[number % len(users)])
        at = BEGAN + timedelta(seconds=number)
        yield "audit", (ids.next("audit"), at, user, "commit", f"{user}/model-{number % plan.repos:06}", "{}")
