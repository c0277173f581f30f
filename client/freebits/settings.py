"""Which hub, and as whom: arguments, then the environment, then what `freebits login` stored.

endpoint   argument, FREEBITS_ENDPOINT, HF_ENDPOINT, the last login, http://127.0.0.1:8000
token      argument, FREEBITS_TOKEN, stored for this endpoint, HF_TOKEN
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from freebits.credentials import Credentials
from freebits.errors import UsageError

DEFAULT_ENDPOINT = "http://127.0.0.1:8000"


def find_endpoint(given: str | None, credentials: Credentials) -> str:
    """The hub's address without a trailing slash. UsageError when it is not an http(s) address."""
    endpoint = (
        given
        or os.environ.get("FREEBITS_ENDPOINT")
        or os.environ.get("HF_ENDPOINT")
        or credentials.last_endpoint
        or DEFAULT_ENDPOINT
    )
    return normal_endpoint(endpoint)


def normal_endpoint(endpoint: str) -> str:
    """`endpoint` as it is compared and stored."""
    parts = urlsplit(endpoint.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{endpoint!r} is not a hub's address; write it as https://hub.example.org")
    if parts.username or parts.password:
        raise UsageError("an endpoint must not carry a password; use FREEBITS_TOKEN or `freebits login`")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def find_token(given: str | None, endpoint: str, credentials: Credentials) -> str | None:
    """The token to show to `endpoint`, None for a stranger."""
    token = given or os.environ.get("FREEBITS_TOKEN") or credentials.token(endpoint) or _hugging_face(endpoint)
    token = token.strip() if token else None
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError("the token holds blanks or odd characters; copy it again")
    return token


def _hugging_face(endpoint: str) -> str | None:
    """HF_TOKEN; but a token of huggingface.co is shown to no other hub than the one HF_ENDPOINT names."""
    token = os.environ.get("HF_TOKEN")
    theirs = os.environ.get("HF_ENDPOINT")
    if token and token.startswith("hf_") and not (theirs and normal_endpoint(theirs) == endpoint):
        return None
    return token
