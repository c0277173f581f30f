"""HTTP for users and tokens."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from ..errors import Forbidden, TokenNotFound
from ..http_context import Caller, HubDep, RowId, Segment
from ..models import User
from ..schemas import IssuedToken, NewToken, NewUser, Whoami
from . import operations, queries
from .principal import Principal, require_admin, require_user

router = APIRouter(tags=["accounts"])


@router.get("/whoami")
def whoami(caller: Caller) -> Whoami:
    """Who the token belongs to."""
    require_user(caller)
    return Whoami.model_validate(caller)


@router.post("/users", status_code=201)
def create_user(body: NewUser, hub: HubDep, caller: Caller) -> IssuedToken:
    """Create a user with a first token (admins only)."""
    require_admin(caller)

    def create(session: Session) -> tuple[User, int, str]:
        user = operations.create_user(session, body.name, body.role)
        token_id, token = operations.issue_token(session, user, "first")
        queries.record(session, caller.name, "user.create", user=user.name, role=user.role)
        return user, token_id, token

    user, token_id, token = hub.db.run(create)
    return IssuedToken(id=token_id, user=user.name, label="first", token=token)


@router.post("/users/{name}/tokens", status_code=201)
def create_token(name: Segment, body: NewToken, hub: HubDep, caller: Caller) -> IssuedToken:
    """Make a token for oneself, or as an admin for anybody."""
    _require_self_or_admin(caller, name)
    with hub.db.transaction() as session:
        user = operations.require_existing_user(session, name)
        token_id, token = operations.issue_token(session, user, body.label)
        queries.record(session, caller.name, "token.create", user=user.name, token_id=token_id)
    return IssuedToken(id=token_id, user=user.name, label=body.label, token=token)


@router.delete("/users/{name}/tokens/{token_id}", status_code=204)
def delete_token(name: Segment, token_id: RowId, hub: HubDep, caller: Caller) -> Response:
    """Revoke a token of oneself, or as an admin of anybody."""
    _require_self_or_admin(caller, name)
    with hub.db.transaction() as session:
        user = operations.require_existing_user(session, name)
        if not queries.delete_token(session, user.id, token_id):
            raise TokenNotFound(f"{name!r} has no token {token_id}", user=user.name, token=token_id)
        queries.record(session, caller.name, "token.delete", user=user.name, token_id=token_id)
    return Response(status_code=204)


def _require_self_or_admin(caller: Principal, name: str) -> None:
    require_user(caller)
    if caller.name != name and not caller.is_admin:
        raise Forbidden(f"only {name[:96]!r} or an admin may do this")
