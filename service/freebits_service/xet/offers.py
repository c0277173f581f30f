"""Which files the hub says of that they can be had by Xet, so that clients do that.

All can, by who asks, and plain HTTP works for all as well: what is said decides what clients take. Files that come
from the hub go faster by Xet from some size on (docs/hugging-face.md has the measurement behind the setting's default).
What is stored raw where the store answers clients itself goes past the hub by plain HTTP. And what clients refuse to
download by plain HTTP must be offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from sqlalchemy.orm import Session

from ..context import Hub
from ..downloads.redirect import sends_raw_bytes
from ..mirror.queries import awaited_among
from ..models import Blob, Repo

MAX_HTTP_NBYTES = 50_000_000_000  # the clients' own limit


def is_offered(hub: Hub, blob: Blob) -> bool:
    """Whether clients are to download this content by Xet."""
    if blob.nbytes > MAX_HTTP_NBYTES:
        return True
    return blob.nbytes >= hub.settings.xet_downloads_from_nbytes and not sends_raw_bytes(hub, blob)


def offered_among(hub: Hub, session: Session, repo: Repo, blobs: Sequence[Blob]) -> Set[int]:
    """The rows of those contents of a repo that are offered; what it awaits from the upstream cannot be had by Xet."""
    offered = {blob.id for blob in blobs if is_offered(hub, blob)}
    return offered - awaited_among(session, repo, sorted(offered))


def offer(token_url: str, blob: Blob) -> Mapping[str, str]:
    """The headers that say so; clients get a token to read from `token_url`."""
    return {"X-Xet-Hash": file_name(blob), "Link": f'<{token_url}>; rel="xet-auth"'}


def file_name(blob: Blob) -> str:
    """What content is called in Xet: 64 hex digits. Clients do not compute it, so it is the SHA-256."""
    return blob.sha256
