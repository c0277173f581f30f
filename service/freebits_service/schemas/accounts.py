"""Users, tokens and organizations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from .fields import Answer, Request

Scope = Literal["read", "write", "admin"]
HubRole = Literal["admin", "user"]


class Whoami(Answer):
    """Who the token belongs to, what it may do, and the user's roles in organizations."""

    name: str
    role: HubRole
    scope: Scope
    limited_to: str
    roles: Mapping[str, Scope]


class NewUser(Request):
    """A user to create."""

    name: str
    role: HubRole = "user"


class UserChange(Request):
    """What may be changed of a user; what is left out stays."""

    role: HubRole | None = None
    active: bool | None = None


class User(Answer):
    """A user; one that is not active cannot log in."""

    name: str
    role: HubRole
    active: Annotated[bool, Field(validation_alias="is_active")]
    created_at: datetime


class UserList(Answer):
    """A page of users; `next` goes into ``after``."""

    items: list[User]
    next: str | None


class NewToken(Request):
    """A token to make for a user; `limited_to` is a namespace or a repo, empty for none."""

    label: Annotated[str, Field(max_length=96)] = ""
    scope: Scope = "write"
    limited_to: Annotated[str, Field(max_length=200)] = ""
    expires_in_s: Annotated[float, Field(gt=0, le=100 * 366 * 86400)] | None = None


class TokenFacts(Answer):
    """A token without its secret; `last_used_at` is right to within a minute or two."""

    id: int
    label: str
    scope: Scope
    limited_to: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenList(Answer):
    """A page of tokens, oldest first; `next` goes into ``after``."""

    items: list[TokenFacts]
    next: int | None


class IssuedToken(TokenFacts):
    """A token, in clear for the only time."""

    user: str
    token: str


class NewOrg(Request):
    """An organization to create."""

    name: str


class Org(Answer):
    """An organization."""

    name: str
    created_at: datetime


class OrgList(Answer):
    """A page of organizations by name; `next` goes into ``after``."""

    items: list[Org]
    next: str | None


class NewMember(Request):
    """A user to add to an organization, or to give another role there."""

    user: str
    role: Scope


class Member(Answer):
    """A user of an organization."""

    user: str
    role: Scope
    created_at: datetime


class MemberList(Answer):
    """A page of members by name; `next` goes into ``after``."""

    items: list[Member]
    next: str | None
