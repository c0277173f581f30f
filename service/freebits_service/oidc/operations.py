"""Logging in: the authorization-code flow with PKCE, the browser sent back to the machine it began on.

    client                            hub                                   issuer
    makes a verifier, listens
    POST oidc/logins (challenge) ──▶  notes state digest, challenge, nonce
    opens the browser at the URL ───────────────────────────────────────▶  the person logs in
    gets code and state  ◀────────────────────────────────────────────────
    POST oidc/tokens (code, state, verifier) ──▶ takes the login (once),
                                      compares the challenge, sends code and verifier ──▶ ID token
                                      checks it, finds or makes the user, issues a token of its own

The verifier never leaves the client before the end, and both the hub and the issuer check it: a code or a state
that somebody catches is of no use. A login is taken before anything else happens, so it cannot be tried twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from sqlalchemy.orm import Session

from .. import schemas
from ..accounts import queries as accounts
from ..accounts.operations import ADMIN, create_user, issue_token
from ..clock import in_seconds
from ..context import Hub
from ..errors import InvalidRequest, LoginRefused, Unauthenticated
from ..models import OidcLogin, User
from . import queries
from .issuer import Claims, Issuer
from .naming import groups_of, names_in, wished_names

LOGIN_TTL_S = 600
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost):[0-9]{1,5}/callback")


def begin(hub: Hub, issuer: Issuer, body: schemas.NewLogin) -> schemas.Login:
    """A login to be finished within ten minutes; raises InvalidRequest, OidcUnavailable."""
    if not _LOOPBACK.fullmatch(body.redirect_uri):
        raise InvalidRequest("redirect_uri must be http://127.0.0.1:PORT/callback: codes go to this machine only")
    state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    url = issuer.authorize_url(redirect_uri=body.redirect_uri, state=state, nonce=nonce, challenge=body.code_challenge)
    with hub.db.transaction() as session:
        queries.add_login(
            session,
            OidcLogin(
                state_digest=_digest(state),
                challenge=body.code_challenge,
                nonce=nonce,
                redirect_uri=body.redirect_uri,
                expires_at=in_seconds(LOGIN_TTL_S),
            ),
        )
    return schemas.Login(authorize_url=url, state=state, expires_in_s=LOGIN_TTL_S)


def finish(hub: Hub, issuer: Issuer, body: schemas.FinishedLogin) -> schemas.IssuedToken:
    """A token for whoever logged in; raises Unauthenticated, LoginRefused, Forbidden, OidcUnavailable."""
    with hub.db.transaction() as session:
        login = queries.take_login(session, _digest(body.state))
    if login is None or not hmac.compare_digest(challenge_of(body.code_verifier), login.challenge):
        raise Unauthenticated("this login was not begun here, has been used, or has expired; log in again")
    claims = issuer.claims(
        code=body.code, verifier=body.code_verifier, redirect_uri=login.redirect_uri, nonce=login.nonce
    )
    # Run again when the same person, or somebody of the same name, logged in for the first time at this moment.
    return hub.db.run(lambda session: _log_in(hub, session, issuer, claims, body))


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _log_in(
    hub: Hub, session: Session, issuer: Issuer, claims: Claims, body: schemas.FinishedLogin
) -> schemas.IssuedToken:
    user = _user(hub, session, issuer, claims)
    row, token = issue_token(session, user, body.label, scope=body.scope, ttl_s=hub.settings.oidc_token_ttl_s)
    accounts.record(session, user.name, "login.oidc", namespace=user.name, issuer=issuer.name, token_id=row.id)
    facts = schemas.TokenFacts.model_validate(row)
    return schemas.IssuedToken(**facts.model_dump(), user=user.name, token=token)


def _user(hub: Hub, session: Session, issuer: Issuer, claims: Claims) -> User:
    """The user linked to (issuer, subject), made if need be. Names and addresses decide nothing."""
    groups = groups_of(claims, hub.settings.oidc_groups_claim)
    allowed, admins = names_in(hub.settings.oidc_allowed_groups), names_in(hub.settings.oidc_admin_groups)
    if allowed and not groups & (allowed | admins):
        raise LoginRefused("you are in none of the groups that may log in to this hub; ask its administrator")
    subject = str(claims["sub"])
    user = queries.find_linked_user(session, issuer.name, subject)
    if user is None:
        user = _new_user(hub, session, claims)
        queries.link_user(session, user.id, issuer.name, subject)
    if admins and user.name != ADMIN:
        user.role = "admin" if groups & admins else "user"
    return user


def _new_user(hub: Hub, session: Session, claims: Claims) -> User:
    if not hub.settings.oidc_create_users:
        raise LoginRefused("nobody made a user for you on this hub; ask its administrator")
    for name in wished_names(claims, hub.settings.oidc_name_claim):
        if name != ADMIN and not _is_taken(session, name):
            user = create_user(session, name, "user")
            accounts.record(session, name, "user.create", namespace=name, user=name, role="user")
            return user
    raise LoginRefused("all user names like yours are taken; ask the hub's administrator")


def _is_taken(session: Session, name: str) -> bool:
    """Also by repos that nobody owns: whoever gets the name would get them."""
    return (
        accounts.find_user(session, name) is not None
        or accounts.find_namespace(session, name) is not None
        or accounts.has_repos(session, name)
    )
