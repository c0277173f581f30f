"""Grants: what the hub signs so that a client can do one thing for a while without its token.

Clients send the parts of LFS uploads without their token, and give what they get for Xet to another program. A grant
says who asked for it, with which token, in which repo, and for what. It is good only as long as that token is: whoever
revokes a token ends its grants.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from threading import Lock

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from ..clock import now
from ..db import Database, insert_missing
from ..errors import Unauthenticated
from ..models import SigningKey
from .operations import identify_by_id
from .principal import STRANGER, Principal

ALGORITHM = "HS256"
_KEY_NAME = "grants"


@dataclass(frozen=True, slots=True)
class Grant:
    """For `purpose` with `subject` (an upload, a digest, a branch) in `repo` (``namespace/name``)."""

    purpose: str
    repo: str
    subject: str

    @property
    def address(self) -> tuple[str, str]:
        """Namespace and name of the repo."""
        namespace, _, name = self.repo.partition("/")
        return namespace, name


class Grants:
    """Signs grants and reads them; every replica of a hub has the same key, from its database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known_key: OctKey | None = None
        self._lock = Lock()

    def sign(self, caller: Principal, grant: Grant, lifetime_s: int) -> tuple[str, int]:
        """The signed grant, and when it ends in seconds since 1970."""
        expires_at = int(time.time()) + lifetime_s
        claims = {
            "for": grant.purpose,
            "repo": grant.repo,
            "sub": grant.subject,
            "token": caller.token_id,
            "exp": expires_at,
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key()), expires_at

    def read(self, signed: str, purpose: str) -> tuple[Principal, Grant]:
        """Who was granted what; raises Unauthenticated for anything but a grant of this hub for this purpose."""
        try:
            claims = jwt.decode(signed, self._key(), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError):
            raise Unauthenticated("this is no grant of this hub", reason="token") from None
        if claims["for"] != purpose:
            raise Unauthenticated(f"the grant is for {claims['for']}, not for {purpose}", reason="token")
        if claims["exp"] <= time.time():
            raise Unauthenticated("the grant has expired; ask for another one", reason="token")
        token_id = claims["token"]
        caller = STRANGER if token_id is None else identify_by_id(self._db, token_id)
        return caller, Grant(purpose, claims["repo"], claims["sub"])

    def _key(self) -> OctKey:
        with self._lock:
            if self._known_key is None:
                self._known_key = OctKey.import_key(self._db.run(_stored_secret))
            return self._known_key


def _stored_secret(session: Session) -> str:
    insert_missing(session, SigningKey, [{"name": _KEY_NAME, "secret": secrets.token_hex(32), "created_at": now()}])
    return session.scalars(select(SigningKey.secret).where(SigningKey.name == _KEY_NAME)).one()
