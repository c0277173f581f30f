"""No secret in logs, audit rows, or the database: a real hub is shown many, in right and wrong places."""

from __future__ import annotations

import base64
import hashlib
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, log_in

REDIRECT = "http://127.0.0.1:4567/callback"


def _log_in_by_oidc(client: Any, shown: list[str], *, code: str | None = None) -> Any:
    """One login, all its secrets noted; the hub's last answer."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    begun = client.post("/oidc/logins", json={"redirect_uri": REDIRECT, "code_challenge": challenge}).json()
    query = parse_qs(urlsplit(log_in(begun["authorize_url"], "ann")).query)
    given = code or query["code"][0]
    shown += [verifier, begun["state"], query["code"][0], given]
    body = {"state": begun["state"], "code": given, "code_verifier": verifier, "scope": "admin"}
    return client.post("/oidc/tokens", json=body)


def _misuse(client: Any, token: str, wrong: str) -> None:
    """Tokens where they do not belong, requests that fail in every way there is."""
    for secret in (token, wrong):
        client.http.get("/api/v1/whoami", headers={"Authorization": f"Basic {secret}"})
        client.http.get("/api/v1/whoami", headers={"Authorization": secret})
        client.http.get("/api/v1/repos", params={"token": secret, "access_token": secret, "after": secret})
        client.http.get("/api/v1/nowhere", params={"token": secret}, headers={"X-Request-Id": "x" * 99})
        client.http.post("/api/v1/users", json={"name": "x", "token": secret})
        client.http.post("/api/v1/oidc/tokens", json={"state": secret, "code": secret, "code_verifier": secret})
        client.post("/users/admin/tokens", json={"label": 7, "token": secret})
        client.http.request("PROPFIND", "/api/v1/repos", headers={"Authorization": f"Bearer {secret}"})
    assert client.as_user(wrong).get("/whoami").status_code == 401


def _break(served: Any, client: Any) -> None:
    """Requests that hit a database without its tables: unexpected errors, with tracebacks in the log."""
    with closing(sqlite3.connect(served.data / "hub.sqlite3")) as database, database:
        database.execute("ALTER TABLE oidc_login RENAME TO gone_login")
        database.execute("ALTER TABLE token RENAME TO gone_token")
    begin = {"redirect_uri": REDIRECT, "code_challenge": "c" * 43}
    assert client.post("/oidc/logins", json=begin).status_code == 500
    assert client.get("/whoami").status_code == 500


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)  # all rows in one file to look through
def test_no_secret_is_written_down(
    make_process: Callable[..., Any], connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the log (at level debug, with tracebacks) nor in the audit trail nor anywhere in the database."""
    provider = OidcProvider()
    try:
        monkeypatch.setenv("FREEBITS_OIDC_CLIENT_SECRET", CLIENT_SECRET)
        flags = ("--oidc-issuer", provider.issuer, "--oidc-client-id", CLIENT_ID)
        served = make_process(*flags, "--log-level", "debug")
        served.start()
        client = connect(served)
        wrong = "fb_wrong-" + secrets.token_urlsafe(32)
        shown = [client.token, wrong, CLIENT_SECRET]
        user = client.new_user("bob")
        issued = user.post("/users/bob/tokens", json={"label": "ci", "scope": "read"}).json()["token"]
        entered = _log_in_by_oidc(client, shown)
        assert entered.status_code == 201, entered.text
        shown += [user.token, issued, entered.json()["token"]]
        assert client.as_user(entered.json()["token"]).get("/whoami").json()["name"] == "ann"
        refused = _log_in_by_oidc(client, shown, code="code-that-nobody-issued-0123456789")
        assert refused.status_code == 401
        _misuse(client, user.token, wrong)
        _break(served, client)
        database = b"".join(path.read_bytes() for path in sorted(served.data.glob("hub.sqlite3*")))
        assert b"user.create" in database
        served.process.terminate()
        greeting = served.process.communicate(timeout=60)[0].decode()
        written = served.log() + greeting
        assert "unexpected error" in written
        assert "OperationalError" in written
        for secret in shown:
            assert secret not in written, "in the log"
            assert secret.encode() not in database, "in the database"
    finally:
        provider.close()


def test_children_do_not_inherit_secrets(make_settings: Callable[..., Any]) -> None:
    """The worker's environment has the settings without the admin's token and the client secret."""
    settings = make_settings(admin_token="preset-token", oidc_client_secret=CLIENT_SECRET)
    environment = settings.to_environment()
    assert not {"preset-token", CLIENT_SECRET} & set(environment.values())
    assert environment["FREEBITS_PART_NBYTES"]
