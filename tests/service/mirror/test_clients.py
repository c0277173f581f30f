"""Clients that know nothing of mirrors read from one: Hugging Face's, and this project's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WEIGHTS = random.Random(8).randbytes(5_000_000)
FILES: dict[str, bytes | None] = {"config.json": b"{}", "sub/model.bin": WEIGHTS, "same.bin": WEIGHTS, "empty": b""}
SNAPSHOT = "import sys, huggingface_hub; print(huggingface_hub.snapshot_download(sys.argv[1]))"

pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)


@pytest.fixture
def served(make_process: Callable[..., Any], upstream: Any) -> Any:
    """A hub with its worker that mirrors a hub that mirrors the upstream."""
    near = make_process("--upstream", upstream.served.url, name="near")
    near.start()
    far = make_process("--upstream", near.url, name="far")
    far.start()
    return far


def check(folder: Path) -> None:
    """All files are there."""
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


def run(*command: str | Path, **variables: str) -> str:
    """What a command prints."""
    environment = {"PATH": os.environ["PATH"], **variables}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_through_two_mirrors(served: Any, upstream: Any, repo: str, commit: str, tmp_path: Path) -> None:
    """Snapshots by the oldest and the newest client, and a pull: the same bytes, each sent once by the upstream."""
    for version in ("0.36.2", "2.4.0"):
        python = Path(sys.prefix) / "hf" / version / "bin" / "python"
        assert python.exists(), f"no environment with huggingface_hub {version}; run `make setup`"
        home = tmp_path / version
        found = Path(run(python, "-c", SNAPSHOT, repo, HF_ENDPOINT=served.url, HOME=str(home)).splitlines()[-1])
        assert found.name == commit
        check(found)
    freebits = Path(sys.prefix) / "bin" / "freebits"
    variables = {"FREEBITS_ENDPOINT": served.url, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    run(freebits, "pull", repo, "-o", tmp_path / "pulled", **variables)
    check(tmp_path / "pulled")
    sent = sum(upstream.asked(f"{repo}/resolve/{commit}/{path}") for path in FILES)
    assert sent == len({content for content in FILES.values() if content})
