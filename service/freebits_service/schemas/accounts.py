"""Users and tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .fields import Answer, Request


class Whoami(Answer):
    """Who the token belongs to."""

    name: str
    role: Literal["admin", "user"]


class NewUser(Request):
    """A user to create."""

    name: str
    role: Literal["admin", "user"] = "user"


class NewToken(Request):
    """A token to make for a user."""

    label: Annotated[str, Field(max_length=96)] = ""


class IssuedToken(Answer):
    """A token, in clear for the only time."""

    id: int
    user: str
    label: str
    token: str
