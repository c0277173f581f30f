"""Which hub, as whom, and where that is kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from freebits.credentials import Credentials
from freebits.errors import UsageError
from freebits.settings import DEFAULT_ENDPOINT, find_endpoint, find_token, normal_endpoint

HUB = "https://hub.example.org"


def test_the_endpoint_comes_from_argument_environment_login_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each source goes before the next."""
    credentials = Credentials()
    assert find_endpoint(None, credentials) == DEFAULT_ENDPOINT
    credentials.store("https://login.example.org", "t")
    assert find_endpoint(None, credentials) == "https://login.example.org"
    monkeypatch.setenv("HF_ENDPOINT", "https://hf.example.org/")
    assert find_endpoint(None, credentials) == "https://hf.example.org"
    monkeypatch.setenv("FREEBITS_ENDPOINT", "https://fb.example.org")
    assert find_endpoint(None, credentials) == "https://fb.example.org"
    assert find_endpoint("http://given:1/base/", credentials) == "http://given:1/base"


def test_the_token_comes_from_argument_environment_login(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_TOKEN is the last resort."""
    credentials = Credentials()
    assert find_token(None, HUB, credentials) is None
    monkeypatch.setenv("HF_TOKEN", "from-hf")
    assert find_token(None, HUB, credentials) == "from-hf"
    credentials.store(HUB, "stored")
    assert find_token(None, HUB, credentials) == "stored"
    monkeypatch.setenv("FREEBITS_TOKEN", "from-env")
    assert find_token(None, HUB, credentials) == "from-env"
    assert find_token("given", HUB, credentials) == "given"


def test_a_hugging_face_token_is_shown_to_no_other_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only to the one HF_ENDPOINT names."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert find_token(None, HUB, Credentials()) is None
    monkeypatch.setenv("HF_ENDPOINT", HUB + "/")
    assert find_token(None, HUB, Credentials()) == "hf_secret"


def test_a_stored_token_is_shown_to_its_hub_only(home: Path) -> None:
    """Tokens are kept per endpoint."""
    Credentials().store(HUB, "stored")
    assert find_token(None, "https://other.example.org", Credentials()) is None


def test_the_credentials_file_is_private(home: Path) -> None:
    """Mode 0600, also when it is replaced."""
    for token in ("one", "two"):
        Credentials().store(HUB, token)
        assert stat.S_IMODE(Credentials().path.stat().st_mode) == 0o600
    assert Credentials().token(HUB) == "two"
    assert Credentials().drop(HUB)
    assert not Credentials().drop(HUB)


def test_a_damaged_credentials_file_says_what_to_do(home: Path) -> None:
    """No traceback, no guess."""
    path = Credentials().path
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(UsageError, match="freebits login"):
        Credentials()


@pytest.mark.parametrize(
    "endpoint", ["hub.example.org", "ftp://hub", "http://", "http://hub?x=1", "http://u:p@hub"]
)
def test_what_is_not_an_endpoint(endpoint: str) -> None:
    """Refused before anything is sent."""
    with pytest.raises(UsageError):
        normal_endpoint(endpoint)


def test_a_token_with_blanks_is_refused(home: Path) -> None:
    """It would break the header, or inject another."""
    with pytest.raises(UsageError, match="copy it again"):
        find_token("a b\r\nX: y", HUB, Credentials())
