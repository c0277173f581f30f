"""Upload sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from .fields import Answer, Nbytes, Request, Sha256


class NewUpload(Request):
    """Content to upload: what it is, and the bytes that will be sent for it."""

    sha256: Sha256
    nbytes: Nbytes
    encoding: Literal["identity", "freebits"] = "identity"
    stored_nbytes: Nbytes
    stored_sha256: Sha256


class Upload(Answer):
    """A resumable upload and which parts have been received; `direct`: the store takes parts itself, by URL."""

    id: str
    repo: str
    sha256: Sha256
    nbytes: int
    encoding: Literal["identity", "freebits"]
    stored_nbytes: int
    part_nbytes: int
    part_count: int
    received: list[int]
    state: Literal["receiving", "complete"]
    expires_at: datetime
    direct: bool


class PartUrl(Answer):
    """Where the bytes of one part may be PUT for a while."""

    number: int
    nbytes: int
    url: str


class PartUrls(Answer):
    """URLs for some parts, good for `expires_in_s` seconds."""

    items: list[PartUrl]
    expires_in_s: int


class Part(Answer):
    """A part as it was received."""

    number: int
    nbytes: int
    sha256: Sha256
