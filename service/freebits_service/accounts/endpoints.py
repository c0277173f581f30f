"""HTTP for users and tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from sqlalchemy.orm import Session

from .. import models
from ..http_context import Caller, HubDep, RowId, Segment
from ..models import Token
from ..routers import rest_router
from ..schemas import IssuedToken, NewToken, NewUser, TokenFacts, TokenList, User, UserChange, UserList, Whoami
from . import operations, queries
from .principal import require_admin, require_self, require_user

router = rest_router("accounts")
PageLimit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/whoami")
def whoami(caller: Caller) -> Whoami:
    """Who the token belongs to, and what it may do."""
    require_user(caller)
    return Whoami.model_validate(caller)


@router.get("/users")
def list_users(hub: HubDep, caller: Caller, after: str | None = None, limit: PageLimit = 100) -> UserList:
    """Users by name (admins only)."""
    require_admin(caller)
    with hub.db.snapshot() as session:
        rows = queries.list_users(session, after, limit + 1)
    items = [User.model_validate(row) for row in rows[:limit]]
    return UserList(items=items, next=items[-1].name if len(rows) > limit else None)


@router.post("/users", status_code=201)
def create_user(body: NewUser, hub: HubDep, caller: Caller) -> IssuedToken:
    """Create a user with a first token (admins only)."""
    require_admin(caller)

    def create(session: Session) -> tuple[models.User, Token, str]:
        user = operations.create_user(session, body.name, body.role)
        row, token = operations.issue_token(session, user, "first")
        queries.record(session, caller.name, "user.create", namespace=user.name, user=user.name, role=user.role)
        return user, row, token

    user, row, token = hub.db.run(create)
    return _issued(user.name, row, token)


@router.get("/users/{name}")
def get_user(name: Segment, hub: HubDep, caller: Caller) -> User:
    """One user (oneself, or as an admin anybody)."""
    require_self(caller, name)
    with hub.db.snapshot() as session:
        return User.model_validate(operations.require_existing_user(session, name))


@router.patch("/users/{name}")
def change_user(name: Segment, body: UserChange, hub: HubDep, caller: Caller) -> User:
    """Give another role, deactivate (all tokens end at once) or activate again (admins only)."""
    require_admin(caller)
    with hub.db.transaction() as session:
        user = operations.change_user(session, caller, name, role=body.role, active=body.active)
    return User.model_validate(user)


@router.delete("/users/{name}", status_code=204)
def delete_user(name: Segment, hub: HubDep, caller: Caller) -> Response:
    """Remove a user without repos (admins only); the tokens end at once and the name becomes free."""
    require_admin(caller)
    with hub.db.transaction() as session:
        operations.remove_user(session, caller, name)
    return Response(status_code=204)


@router.get("/users/{name}/tokens")
def list_tokens(
    name: Segment, hub: HubDep, caller: Caller, after: int | None = None, limit: PageLimit = 100
) -> TokenList:
    """The tokens of oneself, or as an admin of anybody, oldest first; never the secrets."""
    require_self(caller, name)
    with hub.db.snapshot() as session:
        user = operations.require_existing_user(session, name)
        rows = queries.list_tokens(session, user.id, after, limit + 1)
    items = [TokenFacts.model_validate(row) for row in rows[:limit]]
    return TokenList(items=items, next=items[-1].id if len(rows) > limit else None)


@router.post("/users/{name}/tokens", status_code=201)
def create_token(name: Segment, body: NewToken, hub: HubDep, caller: Caller) -> IssuedToken:
    """Make a token for oneself, or as an admin for anybody."""
    require_self(caller, name)
    with hub.db.transaction() as session:
        user = operations.require_existing_user(session, name)
        row, token = operations.issue_token(
            session, user, body.label, scope=body.scope, limited_to=body.limited_to, ttl_s=body.expires_in_s
        )
        queries.record(
            session,
            caller.name,
            "token.create",
            namespace=user.name,
            user=user.name,
            token_id=row.id,
            scope=row.scope,
            limited_to=row.limited_to,
        )
    return _issued(user.name, row, token)


@router.delete("/users/{name}/tokens/{token_id}", status_code=204)
def delete_token(name: Segment, token_id: RowId, hub: HubDep, caller: Caller) -> Response:
    """Revoke a token of oneself, or as an admin of anybody."""
    require_self(caller, name)
    with hub.db.transaction() as session:
        operations.revoke_token(session, caller, name, token_id)
    return Response(status_code=204)


def _issued(user: str, row: Token, token: str) -> IssuedToken:
    facts = TokenFacts.model_validate(row)
    return IssuedToken(**facts.model_dump(), user=user, token=token)
