"""The client about accounts, against real hubs: the admin commands, quotas, rate limits, and a login by browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oidc_provider
import pytest
from oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def admin(link: Any, cli: Cli) -> Callable[..., Any]:
    """Run `freebits admin ... --json` as the hub's admin; the decoded answer."""

    def run(*arguments: str) -> Any:
        code, stdout, stderr = cli("admin", *arguments, "--json")
        assert code == 0, stderr
        return json.loads(stdout)

    return run


def test_users_tokens_and_organizations(admin: Callable[..., Any], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, listed, shown, changed and removed from the command line."""
    token = admin("user", "create", "ann")["token"]
    assert admin("user", "show", "ann")["role"] == "user"
    assert {user["name"] for user in admin("user", "list")} >= {"admin", "ann"}
    admin("org", "create", "lab")
    assert admin("org", "add", "lab", "ann", "--role", "read")["role"] == "read"
    assert [member["user"] for member in admin("org", "members", "lab")] == ["ann"]
    made = admin("token", "create", "ann", "--scope", "read", "--limit", "lab", "--days", "1", "--label", "ci")
    listed = admin("token", "list", "ann")
    assert [(each["label"], each["limited_to"]) for each in listed] == [("first", ""), ("ci", "lab")]
    monkeypatch.setenv("FREEBITS_TOKEN", made["token"])
    code, _, stderr = cli("admin", "user", "list")
    assert (code, "FORBIDDEN" in stderr) == (4, True)
    monkeypatch.setenv("FREEBITS_TOKEN", token)
    assert [org["name"] for org in admin("org", "list")] == ["lab"]
    admin("token", "remove", "ann", str(made["id"]))
    monkeypatch.setenv("FREEBITS_TOKEN", "fb-flows-admin-0123456789")
    admin("org", "drop", "lab", "ann")
    admin("org", "remove", "lab")
    assert admin("user", "set", "ann", "--deactivate")["active"] is False
    admin("user", "remove", "ann")
    assert cli("admin", "user", "show", "ann")[0] == 3
    assert cli("admin", "user", "set", "ann")[0] == 2
    actions = [line["action"] for line in admin("audit", "--namespace", "ann", "--limit", "2")]
    assert actions == ["user.delete", "user.change"]
    assert "user.delete" in cli("admin", "audit", "--user", "admin", "--limit", "1")[1]


def test_a_quota_is_exit_7_with_the_numbers(admin: Callable[..., Any], cli: Cli, home: Path) -> None:
    """A push that does not fit says what is used, allowed and wanted; recounting finds nothing wrong."""
    (home / "weights.bin").write_bytes(bytes(5000))
    admin("user", "create", "quota")
    assert admin("quota", "set", "quota", "--logical", "4kB", "--stored", "unlimited")["logical_limit_nbytes"] == 4000
    code, _, stderr = cli("push", "weights.bin", "quota/model")
    assert code == 7
    assert "uses 0 of 4000 logical bytes and 5000 more are wanted" in stderr
    admin("quota", "set", "quota", "--logical", "default")
    assert cli("push", "weights.bin", "quota/model")[0] == 0
    assert admin("quota", "show", "quota")["logical_nbytes"] == 5000
    assert "unlimited" in cli("admin", "quota", "show", "quota")[1]
    assert admin("quota", "recount", "quota") == {"counted": 1, "corrected": []}
    assert admin("quota", "recount")["corrected"] == []
    assert cli("admin", "quota", "set", "quota", "--logical", "much")[0] == 2


def test_a_throttled_push_waits_and_finishes(make_own_hub: Callable[..., Any], cli: Cli, home: Path) -> None:
    """A hub that allows fewer requests than a push makes slows it down; nothing fails."""
    make_own_hub("--user-requests-per-minute", "30", "--no-worker")
    folder = home / "many"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(f"file {number}")
    code, _, stderr = cli("push", "many", "admin/many", "--no-encode")
    assert code == 0, stderr


def test_logging_in_with_a_browser(
    make_own_hub: Callable[..., Any], cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`freebits login --oidc` opens a browser, waits for it to come back, and keeps the token it gets."""
    provider = OidcProvider()
    try:
        monkeypatch.setenv("FREEBITS_OIDC_CLIENT_SECRET", CLIENT_SECRET)
        make_own_hub("--oidc-issuer", provider.issuer, "--oidc-client-id", CLIENT_ID, "--no-worker")
        monkeypatch.delenv("FREEBITS_TOKEN")
        monkeypatch.setenv("BROWSER", f"{sys.executable} {oidc_provider.__file__} ann %s")
        code, stdout, stderr = cli("login", "--oidc", "--json")
        assert code == 0, stderr
        assert json.loads(stdout)["name"] == "ann"
        assert json.loads(cli("whoami", "--json")[1])["name"] == "ann"
        (home / "x.txt").write_text("x")
        assert cli("push", "x.txt", "ann/model")[0] == 0
        stored = json.loads((home / "config" / "freebits" / "credentials.json").read_text())
        (token,) = stored["tokens"].values()
        assert token not in stdout + stderr
    finally:
        provider.close()


def test_a_hub_without_an_issuer_is_not_found(link: Any, cli: Cli) -> None:
    """The message says that a token is needed."""
    code, _, stderr = cli("login", "--oidc")
    assert code == 3
    assert "no OIDC issuer" in stderr
