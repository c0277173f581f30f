"""What git calls things."""

from __future__ import annotations

import hashlib


def git_blob_id(content: bytes) -> str:
    """What git calls a blob of this content: SHA-1 over a header and the content, 40 hex digits."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
