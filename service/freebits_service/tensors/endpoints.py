"""HTTP for the tensors of files."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from ..accounts.principal import readable_by
from ..downloads.locate import locate
from ..errors import InvalidRequest
from ..http_context import Caller, HubDep, Segment
from ..names import is_sha256
from ..routers import rest_router
from ..schemas import SharedTensor, SharedTensorList, Tensor, TensorList
from . import queries

router = rest_router("tensors", reads_repos=True)
PageLimit = Annotated[int, Query(ge=1, le=10_000)]


@router.get("/repos/{namespace}/{name}/tensors/{revision}/{path:path}")
def list_tensors(
    *,
    namespace: Segment,
    name: Segment,
    revision: Segment,
    path: Segment,
    hub: HubDep,
    caller: Caller,
    after: Annotated[int | None, Query(ge=0, le=1 << 31)] = None,
    limit: PageLimit = 1000,
) -> TensorList:
    """The tensors of an encoded file, in the order of its directory."""
    located = locate(hub, caller, namespace, name, revision, path)
    with hub.db.snapshot() as session:
        indexed = located.blob.tensor_count is not None
        rows = queries.list_tensors(session, located.blob.id, after, limit + 1) if indexed else []
    items = [Tensor.model_validate(row) for row in rows[:limit]]
    return TensorList(
        commit=located.commit,
        sha256=located.blob.sha256,
        indexed=indexed,
        items=items,
        next=items[-1].number if len(rows) > limit else None,
    )


@router.get("/tensors/{digest}")
def find_tensor(
    *,
    digest: Segment,
    hub: HubDep,
    caller: Caller,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> SharedTensorList:
    """The files that have a tensor with this BLAKE3, in repos the caller may read."""
    if not is_sha256(digest):
        raise InvalidRequest("a tensor's digest is 64 lower-case hex digits (BLAKE3)")
    readable = readable_by(caller)
    with hub.db.snapshot() as session:
        rows = queries.list_shared(session, digest, readable, _cursor(after) if after else None, limit + 1)
    items = [
        SharedTensor(
            repo=repo.full_name,
            path=path or "",
            sha256=blob.sha256,
            name=tensor.name,
            dtype=tensor.dtype,
            shape=tensor.shape,
            nbytes=tensor.nbytes,
        )
        for tensor, blob, repo, path in rows[:limit]
    ]
    if len(rows) <= limit:
        return SharedTensorList(items=items, next=None)
    tensor, _, repo, _ = rows[limit - 1]
    return SharedTensorList(items=items, next=f"{tensor.blob_id}-{tensor.number}-{repo.id}")


def _cursor(after: str) -> tuple[int, int, int]:
    parts = after.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
        raise InvalidRequest(f"{after[:100]!r} is no `next` of a page of tensors")
    blob_id, number, repo_id = map(int, parts)
    return blob_id, number, repo_id
