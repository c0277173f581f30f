"""Settings from flags, variables and a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from freebits_service.settings import InvalidSettings, Settings, load


def test_flags_win_over_variables_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting has all three."""
    config = tmp_path / "hub.toml"
    config.write_text("port = 1\nencode_threads = 2\ngrace_s = 3.5\n")
    monkeypatch.setenv("FREEBITS_CONFIG", str(config))
    monkeypatch.setenv("FREEBITS_PORT", "4")
    monkeypatch.setenv("FREEBITS_ENCODE_THREADS", "5")
    chosen = load(["--port", "6", "--no-worker"])
    assert (chosen.port, chosen.encode_threads, chosen.grace_s, chosen.worker) == (6, 5, 3.5, False)


def test_bad_values_are_named_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the places where they may be set."""
    monkeypatch.setenv("FREEBITS_PART_NBYTES", "3")
    with pytest.raises(InvalidSettings) as refused:
        load(["--port", "99999"])
    assert "port" in str(refused.value)
    assert "FREEBITS_PART_NBYTES" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "unknown setting 'prot'"),
        ("port = ", "not TOML"),
        (None, "cannot read"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    """An unknown key is an error, not a surprise."""
    config = tmp_path / "hub.toml"
    if text is not None:
        config.write_text(text)
    with pytest.raises(InvalidSettings, match=said):
        load(["--config", str(config)])


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """As a usage error."""
    with pytest.raises(SystemExit) as ended:
        load(["--nonsense"])
    assert ended.value.code == 2
    assert "--nonsense" in capsys.readouterr().err


def test_a_child_gets_the_same_settings_without_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through its environment."""
    chosen = Settings(data=tmp_path, port=77, worker=False, admin_token="secret")
    environment = chosen.to_environment()
    assert "secret" not in str(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    again = load()
    assert again.model_dump(exclude={"admin_token"}) == chosen.model_dump(exclude={"admin_token"})


def test_help_describes_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag each."""
    with pytest.raises(SystemExit):
        load(["--help"])
    shown = capsys.readouterr().out
    for name in Settings.model_fields:
        assert "--" + name.replace("_", "-") in shown or "--no-" + name in shown
