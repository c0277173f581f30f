"""Logging in at a real OIDC provider, and everything that must not count as a login."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, log_in
from sqlalchemy import select, update

from freebits_service.clock import now
from freebits_service.context import Hub
from freebits_service.errors import OidcUnavailable, Unauthenticated
from freebits_service.models import Identity, OidcLogin
from freebits_service.oidc.issuer import Issuer
from freebits_service.oidc.naming import wished_names

REDIRECT = "http://127.0.0.1:4567/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    """One provider for this file."""
    running = OidcProvider()
    yield running
    running.close()


@pytest.fixture
def open_client(
    provider: OidcProvider, make_hub: Callable[..., Hub], make_client: Callable[[Hub], Any]
) -> Callable[..., Any]:
    """The admin of a hub where one can log in at the provider."""

    def make(**changes: Any) -> Any:
        settings = {
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": CLIENT_SECRET,
            **changes,
        }
        return make_client(make_hub(**settings))

    return make


def begin(client: Any, redirect_uri: str = REDIRECT) -> tuple[Any, str]:
    """A login that was begun, and its verifier."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    body = {"redirect_uri": redirect_uri, "code_challenge": challenge}
    return client.as_user(None).post("/oidc/logins", json=body), verifier


def finish(client: Any, state: str, code: str, verifier: str, **more: Any) -> Any:
    """The hub's answer to what the browser brought back."""
    body = {"state": state, "code": code, "code_verifier": verifier, **more}
    return client.as_user(None).post("/oidc/tokens", json=body)


def visit(client: Any, login: str) -> tuple[str, str, str]:
    """State, code and verifier of somebody who logged in at the provider."""
    begun, verifier = begin(client)
    assert begun.status_code == 201, begun.text
    back = urlsplit(log_in(begun.json()["authorize_url"], login))
    query = parse_qs(back.query)
    assert f"{back.scheme}://{back.netloc}{back.path}" == REDIRECT
    assert query["state"] == [begun.json()["state"]]
    return query["state"][0], query["code"][0], verifier


def enter(client: Any, login: str, **more: Any) -> Any:
    """The whole way; the hub's last answer."""
    return finish(client, *visit(client, login), **more)


def test_logging_in(open_client: Callable[..., Any]) -> None:
    """The first login makes a user with a token that expires; the second finds the same user; both are recorded."""
    client = open_client(oidc_token_ttl_s=1000)
    issued = enter(client, "ann").json()
    assert (issued["user"], issued["scope"], issued["limited_to"]) == ("ann", "write", "")
    ann = client.as_user(issued["token"])
    assert ann.get("/whoami").json()["name"] == "ann"
    assert ann.post("/repos", json={"name": "ann/model"}).status_code == 201
    again = enter(client, "ann", scope="admin", label="laptop").json()
    assert (again["user"], again["scope"], again["label"]) == ("ann", "admin", "laptop")
    expires = client.get("/users/ann/tokens").json()["items"][0]["expires_at"]
    assert now().isoformat() < expires < (now() + timedelta(seconds=1001)).isoformat()
    actions = [line["action"] for line in client.get("/audit", params={"namespace": "ann"}).json()["items"]]
    assert actions == ["login.oidc", "repo.create", "login.oidc", "user.create"]


@pytest.mark.parametrize("taken", ["user", "org", "repos", "admin"])
def test_names_are_never_taken_over(open_client: Callable[..., Any], taken: str) -> None:
    """Somebody of the same name as a user, an organization, a namespace with repos, or the admin is somebody else."""
    client = open_client()
    name = "admin" if taken == "admin" else "carol"
    if taken == "user":
        client.new_user(name)
    if taken == "org":
        client.post("/orgs", json={"name": name})
    if taken == "repos":
        client.new_repo(f"{name}/secret", "private")
    issued = enter(client, name).json()
    assert issued["user"] == f"{name}-2"
    mine = client.as_user(issued["token"])
    assert mine.get("/users").status_code == 403
    assert mine.get(f"/repos/{name}/secret").status_code == 404
    assert enter(client, f"{name}!other").json()["user"] == f"{name}-3"
    assert enter(client, name).json()["user"] == f"{name}-2"


def test_a_login_counts_once(open_client: Callable[..., Any]) -> None:
    """State, code and verifier that were used are worth nothing."""
    client = open_client()
    visited = visit(client, "ann")
    assert finish(client, *visited).status_code == 201
    again = finish(client, *visited)
    assert (again.status_code, again.json()["code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("wrong", ["state", "code", "verifier", "expired", "code of another login"])
def test_what_is_not_a_login(open_client: Callable[..., Any], wrong: str) -> None:
    """Anything that does not belong together is refused, and the login is used up by the try."""
    client = open_client()
    state, code, verifier = visit(client, "ann")
    right = (state, code, verifier)
    hub: Hub = client.http.app.state.hub
    if wrong == "state":
        state = "s" * 43
    elif wrong == "code":
        code = "nonsense"
    elif wrong == "verifier":
        verifier = "v" * 43
    elif wrong == "expired":
        with hub.db.transaction() as session:
            session.execute(update(OidcLogin).values(expires_at=now() - timedelta(seconds=1)))
    else:
        code = visit(client, "eve")[1]
    refused = finish(client, state, code, verifier)
    assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")
    with hub.db.snapshot() as session:
        assert session.scalars(select(Identity)).all() == []
    if wrong not in {"state"}:
        assert finish(client, *right).status_code == 401


@pytest.mark.parametrize(
    "uri",
    ["https://evil.example/callback", "http://127.0.0.1:1@evil.example/callback", "http://127.0.0.1:80/other", "x"],
)
def test_codes_go_to_the_own_machine_only(open_client: Callable[..., Any], uri: str) -> None:
    """No redirect but to the loopback address."""
    assert begin(open_client(), uri)[0].json()["code"] == "INVALID_REQUEST"


def test_groups_decide(open_client: Callable[..., Any]) -> None:
    """Who is in no allowed group stays outside; who is in an admin group is an admin as long as that is so."""
    client = open_client(oidc_allowed_groups="dev, ops", oidc_admin_groups="ops")
    assert enter(client, "eve").json()["code"] == "LOGIN_REFUSED"
    assert enter(client, "eve+sales").json()["code"] == "LOGIN_REFUSED"
    ann = client.as_user(enter(client, "ann+dev", scope="admin").json()["token"])
    assert ann.get("/users").status_code == 403
    assert enter(client, "ann+dev+ops").json()["user"] == "ann"
    assert ann.get("/users").status_code == 200
    enter(client, "ann+dev")
    assert ann.get("/users").status_code == 403


def test_users_can_be_made_by_hand_only(open_client: Callable[..., Any]) -> None:
    """Without automatic creation a stranger to the hub stays one; so does whoever was deactivated."""
    client = open_client(oidc_create_users=False)
    assert enter(client, "ann").json()["code"] == "LOGIN_REFUSED"
    client = open_client()
    assert enter(client, "ann").status_code == 201
    client.request("PATCH", "/users/ann", json={"active": False})
    assert enter(client, "ann").status_code == 403


def test_guessing_states_is_limited(open_client: Callable[..., Any]) -> None:
    """Failed logins by OIDC count as failed logins of the address."""
    client = open_client(failed_logins_per_minute=2)
    statuses = [finish(client, "s" * 43, "code", "v" * 43).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]


def test_a_hub_without_an_issuer_says_so(client: Any) -> None:
    """404 OIDC_NOT_CONFIGURED."""
    assert begin(client)[0].json()["code"] == "OIDC_NOT_CONFIGURED"


def test_an_issuer_that_is_down_is_said(open_client: Callable[..., Any]) -> None:
    """502 with the reason, for it is nobody's fault here."""
    refused = begin(open_client(oidc_issuer="http://127.0.0.1:1"))[0]
    assert (refused.status_code, refused.json()["code"]) == (502, "OIDC_UNAVAILABLE")


def test_a_wrong_client_secret_is_refused_by_the_provider(open_client: Callable[..., Any]) -> None:
    """And the answer names the standard's error, not what was sent."""
    refused = enter(open_client(oidc_client_secret="wrong-secret"), "ann")
    assert refused.status_code == 401
    assert "invalid_client" in refused.json()["message"]


class Forged(Issuer):
    """An issuer whose answers a test chooses; only what is fetched is replaced, nothing that is checked."""

    def answer_with(self, keys: KeySet) -> None:
        """Metadata and keys, as if fetched."""
        self._metadata.value = {"issuer": self.name, "jwks_uri": f"{self.name}/jwks"}
        self._keys.value = keys
        self._metadata.at = self._keys.at = time.monotonic()


def _claims(**changes: Any) -> dict[str, Any]:
    moment = int(time.time())
    claims = {
        "iss": "https://id.example.org",
        "aud": "hub",
        "sub": "1",
        "nonce": "n",
        "iat": moment,
        "exp": moment + 60,
    }
    return {key: value for key, value in {**claims, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example.org"},
        {"aud": "other"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"aud": ["hub", "other"], "azp": "other"},
        {"iat": 4_000_000_000},  # in the year 2096
    ],
    ids=str,
)
def test_id_tokens_with_wrong_claims(make_settings: Callable[..., Any], changes: dict[str, Any]) -> None:
    """Issuer, audience, expiry, nonce, subject: each alone makes a token worthless."""
    key = RSAKey.generate_key(2048, {"kid": "k"})
    issuer = Forged(make_settings(oidc_issuer="https://id.example.org", oidc_client_id="hub"))
    issuer.answer_with(KeySet([key]))
    header = {"alg": "RS256", "kid": "k"}
    assert issuer._valid(jwt.encode(header, _claims(), key), "n")["sub"] == "1"
    with pytest.raises(Unauthenticated):
        issuer._valid(jwt.encode(header, _claims(**changes), key), "n")


@pytest.mark.parametrize("how", ["another key", "none", "secret", "cut", "empty"])
def test_id_tokens_nobody_signed(make_settings: Callable[..., Any], how: str) -> None:
    """Only the issuer's private key counts: no other key, no ``none``, no HMAC with the public key as secret."""
    key, other = RSAKey.generate_key(2048, {"kid": "k"}), RSAKey.generate_key(2048, {"kid": "k"})
    issuer = Forged(make_settings(oidc_issuer="https://id.example.org", oidc_client_id="hub"))
    issuer.answer_with(KeySet([key]))
    good = jwt.encode({"alg": "RS256", "kid": "k"}, _claims(), key)
    body = good.split(".")[1]

    def header(algorithm: str) -> str:
        raw = json.dumps({"alg": algorithm, "kid": "k"}).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    forged = {
        "another key": jwt.encode({"alg": "RS256", "kid": "k"}, _claims(), other),
        "none": f"{header('none')}.{body}.",
        "secret": f"{header('HS256')}.{body}.{good.split('.')[2]}",
        "cut": good[:-10],
        "empty": "",
    }[how]
    with pytest.raises((Unauthenticated, OidcUnavailable)):
        issuer._valid(forged, "n")


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("Ann.Lee@example.org", "ann.lee"),
        ("Jürgen Ünal", "jurgen-unal"),
        ("../../etc/passwd", "etc-passwd"),
        ("-.git", "git"),
        ("x.git", "x"),
        ("名前", "user"),
        ("", "user"),
        ("a" * 500, "a" * 64),
    ],
)
def test_names_become_valid_ones(wish: str, name: str) -> None:
    """Whatever a claim holds, the hub's rules for names hold."""
    assert next(wished_names({"preferred_username": wish}, "preferred_username")) == name
