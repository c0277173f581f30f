"""What `freebits pull` leaves is found by a Hugging Face library without a hub, and the other way round."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CLIENT = Path(sys.prefix) / "hf" / "2.4.0" / "bin" / "python"
WEIGHTS = random.Random(9).randbytes(2_000_000)
FIND = """
import sys, huggingface_hub
print(huggingface_hub.snapshot_download(sys.argv[1]))
"""


@pytest.fixture
def pushed(link: Any, cli: Callable[..., tuple[int, str, str]], home: Path) -> str:
    """A repo with a folder in it, and two files of the same bytes."""
    source = home / "source"
    (source / "sub").mkdir(parents=True)
    (source / "model.bin").write_bytes(WEIGHTS)
    (source / "sub/same.bin").write_bytes(WEIGHTS)
    (source / "config.json").write_text("{}")
    status, _, stderr = cli("push", source, "admin/cached")
    assert status == 0, stderr
    return "admin/cached"


def library(home: Path, repo: str, **variables: str) -> Path:
    """Where the library finds a repo."""
    assert CLIENT.exists(), "no environment with huggingface_hub; run `make setup`"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **variables}
    ran = subprocess.run([CLIENT, "-c", FIND, repo], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return Path(ran.stdout.splitlines()[-1])


def check(folder: Path) -> None:
    """All files are there."""
    assert (folder / "model.bin").read_bytes() == (folder / "sub/same.bin").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_text() == "{}"


def test_pulled_and_found_offline(pushed: str, cli: Callable[..., tuple[int, str, str]], home: Path) -> None:
    """The same folder that `freebits pull` tells."""
    status, stdout, stderr = cli("pull", pushed, "--json")
    assert status == 0, stderr
    found = library(home, pushed, HF_HUB_OFFLINE="1")
    assert found == Path(json.loads(stdout)["output"])
    check(found)


def test_downloaded_and_pulled(pushed: str, cli: Callable[..., tuple[int, str, str]], home: Path) -> None:
    """Nothing is fetched a second time, and a file that was removed from the cache is fetched alone."""
    endpoint, token = os.environ["FREEBITS_ENDPOINT"], os.environ["FREEBITS_TOKEN"]
    found = library(home, pushed, HF_ENDPOINT=endpoint, HF_TOKEN=token)
    check(found)
    status, stdout, stderr = cli("pull", pushed, "--json")
    assert status == 0, stderr
    facts = json.loads(stdout)
    assert (facts["pulled"], facts["output"]) == ([], str(found))
    (found / "config.json").resolve().unlink()
    assert json.loads(cli("pull", pushed, "--json")[1])["pulled"] == ["config.json"]
    check(found)
