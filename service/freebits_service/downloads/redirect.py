"""Send a reader to the store itself, by a URL that is good for one object, for GET, and for some minutes.

Only what the store holds as it is sent: containers for who asks for them, and files that are stored raw. The redirect
is never cached, for what the URL gives is the caller's alone; the headers that tell what the bytes are (ETag,
`X-Freebits-*`) come with it, since the store's answer has its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..blobs.store import Presentation, Presigner
from ..context import Hub
from ..models import Blob
from .locate import Located, Representation, content_type

_OF_THE_BODY = frozenset({"Accept-Ranges", "Content-Disposition", "Content-Type"})


def redirector(hub: Hub, answer: Representation, if_range: str | None) -> Presigner | None:
    """Who makes the URL if the store answers a GET; not one with If-Range: the store compares with its own ETag."""
    return _presigner(hub) if answer.form in {"raw", "container"} and if_range is None else None


def sends_raw_bytes(hub: Hub, blob: Blob) -> bool:
    """Whether the store itself answers who wants the plain bytes."""
    return blob.container_key is None and _presigner(hub) is not None


def _presigner(hub: Hub) -> Presigner | None:
    return hub.store.presigner if hub.settings.redirect_downloads else None


def presign(presigner: Presigner, located: Located, answer: Representation) -> str:
    """The URL; a browser saves what it finds there and never shows it, whatever the file is."""
    return presigner.download(answer.key, Presentation(content_type(located.path, answer), located.file_name(answer)))


def redirect_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the answer that hold for its bytes wherever they come from; nobody may keep the redirect."""
    kept = {name: value for name, value in headers.items() if name not in _OF_THE_BODY}
    return {**kept, "Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}
