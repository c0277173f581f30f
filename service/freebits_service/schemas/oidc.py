"""Logging in at an OIDC issuer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .accounts import Scope
from .fields import Answer, Request


class NewLogin(Request):
    """Begin a login: where the browser is sent back to, and the S256 challenge of a secret that stays there (PKCE)."""

    redirect_uri: Annotated[str, Field(max_length=255)]
    code_challenge: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class Login(Answer):
    """Where the person logs in; the same `state` comes back with the code."""

    authorize_url: str
    state: str
    expires_in_s: int


class FinishedLogin(Request):
    """What the issuer sent to the redirect URI, and the secret behind the challenge."""

    state: Annotated[str, Field(max_length=128)]
    code: Annotated[str, Field(min_length=1, max_length=4096)]
    code_verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")]
    label: Annotated[str, Field(max_length=96)] = "oidc"
    scope: Scope = "write"
