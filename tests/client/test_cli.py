"""The command line: output, exit codes, credentials, in processes of their own."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def model(home: Path) -> Path:
    """A file to push."""
    path = home / "model.bin"
    path.write_bytes(b"weights" * 1000)
    return path


def test_push_ls_pull_rm(environment: Any, cli: Any, home: Path, model: Path) -> None:
    """The round of a file, with JSON on stdout and nothing on stderr."""
    pushed = cli("push", model, "alice/m", "-m", "First", "--json")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    facts = json.loads(pushed.stdout)
    assert facts["pushed"] == ["model.bin"]
    listed = json.loads(cli("ls", "alice/m", "--json").stdout)
    assert [entry["path"] for entry in listed["files"]] == ["model.bin"]
    assert listed["commit"] == facts["commit"]
    pulled = cli("pull", "alice/m", "-o", "out")
    assert "pulled 1 file" in pulled.stdout
    assert (home / "out/model.bin").read_bytes() == model.read_bytes()
    assert "removed model.bin" in cli("rm", "alice/m", "model.bin").stdout
    assert environment.files("alice/m") == {}
    assert "alice/m" in cli("ls").stdout
    assert cli("rm", "alice/m", "--repo", "--yes").returncode == 0
    assert environment.repos == {}


def test_pull_goes_into_the_cache_of_hugging_face(environment: Any, cli: Any, home: Path) -> None:
    """Without -o; what is said on standard output is where it is."""
    environment.add("alice/m", "a", b"1")
    pulled = json.loads(cli("pull", "alice/m", "--json").stdout)
    cached = home / "cache/huggingface/hub/models--alice--m"
    assert Path(pulled["output"]) == cached / "snapshots" / pulled["commit"]
    assert (Path(pulled["output"]) / "a").read_bytes() == b"1"
    assert (cached / "refs/main").read_text() == pulled["commit"]


def test_public_is_asked_for(environment: Any, cli: Any, model: Path) -> None:
    """A new repo is private unless --public."""
    assert cli("push", model, "alice/m", "--public").returncode == 0
    assert environment.repos["alice/m"]["visibility"] == "public"


def test_quiet_says_nothing_and_progress_can_be_forced(environment: Any, cli: Any, model: Path) -> None:
    """No bar without a terminal, unless --progress."""
    quiet = cli("push", model, "alice/m", "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    forced = cli("pull", "alice/m", "--progress")
    assert "stored" in forced.stderr
    assert "100%" in forced.stderr


def code(result: Any, *words: str) -> int:
    """The exit code; stderr is one line without a traceback that holds all `words`."""
    assert result.stderr.startswith(("freebits: ", "usage: ")), result.stderr
    assert all(word in result.stderr for word in words), result.stderr
    return int(result.returncode)


def test_usage_is_2(environment: Any, cli: Any, model: Path) -> None:
    """Wrong commands, wrong names, missing answers."""
    assert code(cli("fly")) == 2
    assert code(cli()) == 2
    assert code(cli("push", model)) == 2
    assert code(cli("push", model, "noslash"), "NAMESPACE/NAME") == 2
    assert code(cli("pull", "alice/m", "--endpoint", "hub"), "https://") == 2
    assert code(cli("rm", "alice/m"), "--branch") == 2
    assert code(cli("rm", "alice/m", "--repo"), "--yes") == 2
    assert code(cli("encode", "-o", "x", "a", "b"), "-o") == 2
    assert code(cli("push", model, "alice/m", "--threads", "0"), "at least 1") == 2


def test_not_found_is_3(environment: Any, cli: Any, home: Path, model: Path) -> None:
    """Repos, revisions, files at the hub and here."""
    environment.add("alice/m", "a", b"1")
    assert code(cli("pull", "alice/absent"), "check the name") == 3
    assert code(cli("pull", "alice/m", "--revision", "v9")) == 3
    assert code(cli("rm", "alice/m", "b"), "'b'") == 3
    assert code(cli("push", home / "absent", "alice/m"), "absent") == 3
    assert code(cli("decode", "absent.fb")) == 3


def test_not_allowed_is_4(environment: Any, cli: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, wrong token; the message names `freebits login` and never the token."""
    monkeypatch.delenv("FREEBITS_TOKEN")
    assert code(cli("push", model, "alice/m"), "freebits login") == 4
    refused = cli("whoami", "--token", "s3cret")
    assert code(refused, "freebits login") == 4
    assert "s3cret" not in refused.stderr + refused.stdout


def test_network_is_5(environment: Any, cli: Any, model: Path) -> None:
    """Nobody listens; the message says that a rerun resumes."""
    endpoint = ("--endpoint", "http://127.0.0.1:9", "--retries", "1")
    assert code(cli("push", model, "alice/m", *endpoint), "127.0.0.1:9", "resumes") == 5
    environment.fault = lambda e: "cut" if e.method == "PUT" else None
    assert code(cli("push", model, "alice/m", "--retries", "1"), "resumes") == 5


def test_integrity_is_6(environment: Any, cli: Any, home: Path) -> None:
    """Wrong bytes from the hub, a damaged container here."""
    environment.add("alice/m", "a", b"right")
    environment.served["a"] = b"wrong"
    assert code(cli("pull", "alice/m"), "SHA-256") == 6
    (home / "broken.fb").write_bytes(b"not a container at all" * 10)
    assert code(cli("verify", "broken.fb")) == 6
    assert code(cli("decode", "broken.fb")) == 6
    assert not (home / "broken").exists()


def test_a_full_hub_is_7(environment: Any, cli: Any, model: Path) -> None:
    """507 from the hub."""
    body = {"code": "STORAGE_FULL", "message": "no space", "detail": None, "request_id": "r1"}
    environment.fault = lambda e: (507, dict(body)) if e.method == "PUT" else None
    assert code(cli("push", model, "alice/m"), "room", "r1") == 7


def test_a_full_local_disk_is_7(environment: Any, cli: Any, home: Path) -> None:
    """A file size limit stands in for a full disk; no half file remains."""
    data = os.urandom(3_000_000)
    environment.add("alice/m", "a", data)
    (home / "big.bin").write_bytes(data)
    limited = "ulimit -f 1024; trap '' XFSZ; exec \"$@\""
    for arguments in (["pull", "alice/m"], ["encode", "big.bin"]):
        assert code(_under(cli, limited, arguments), "run the same command again") == 7
    assert not (home / "m/a").exists()
    assert not (home / "big.bin.fb").exists()
    assert not list(home.glob(".*.tmp"))


def _under(cli: Any, script: str, arguments: list[str]) -> Any:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    command = ["bash", "-c", script, "bash", sys.executable, "-m", "freebits", *arguments]
    home = os.environ["HOME"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=home, timeout=60)


def test_login_whoami_logout(environment: Any, cli: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token comes over stdin, is checked, kept with mode 0600 and used from then on."""
    token = os.environ["FREEBITS_TOKEN"]
    monkeypatch.delenv("FREEBITS_TOKEN")
    assert code(cli("login", input="wrong\n"), "freebits login") == 4
    done = cli("login", input=f"{token}\n")
    assert done.returncode == 0
    assert token not in done.stdout + done.stderr
    stored = home / "config/freebits/credentials.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    monkeypatch.delenv("FREEBITS_ENDPOINT")
    assert "alice (user)" in cli("whoami").stdout
    assert cli("logout", "--endpoint", environment.endpoint).returncode == 0
    assert token not in stored.read_text()


def test_serve_belongs_to_the_service(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client finds it as a plug-in, and says what to install without it."""
    from freebits.cli import plugins  # noqa: PLC0415
    from freebits.errors import UsageError  # noqa: PLC0415

    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [])
    with pytest.raises(UsageError, match=r"freebits\[service\]"):
        plugins.find_plugin("serve")
    assert plugins.find_plugin("push") is None


def test_version_and_help(cli: Any) -> None:
    """Both on stdout, exit 0."""
    assert cli("--version").stdout.startswith("freebits ")
    assert "Exit codes" in cli("--help").stdout
