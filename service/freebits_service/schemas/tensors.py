"""Tensors of files, and who shares them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .fields import Answer, CommitId, Sha256

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="BLAKE3 of the tensor's bytes, lower-case hex")]


class Tensor(Answer):
    """A tensor of a file: bytes ``[start, start + nbytes)`` of the original."""

    number: int
    name: str
    dtype: str
    shape: list[int]
    nbytes: int
    start: int
    digest: Digest


class TensorList(Answer):
    """A page of a file's tensors in the order of its directory; `next` goes into ``after``.

    `indexed` is false while the file has not been looked at (it is not encoded); then `items` is empty.
    """

    commit: CommitId
    sha256: Sha256
    indexed: bool
    items: list[Tensor]
    next: int | None


class SharedTensor(Answer):
    """A tensor in a file of a repo the caller may read; `path` is one path the file has or had there."""

    repo: str
    path: str
    sha256: Sha256
    name: str
    dtype: str
    shape: list[int]
    nbytes: int


class SharedTensorList(Answer):
    """A page of places where a tensor is; `next` goes into ``after``."""

    items: list[SharedTensor]
    next: str | None
