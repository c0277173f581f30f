"""A variant made, listed, pulled and read through a real hub with its worker, by the command line and by others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from sliced_model import sliced_model

import freebits
from freebits.errors import JobFailed

METHOD = "gauge-triangular"
CLIENT = Path(sys.prefix) / "hf" / "2.4.0" / "bin" / "hf"


@pytest.fixture
def model(home: Path) -> Path:
    """A folder with a sliced model."""
    folder = home / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(sliced_model())
    (folder / "config.json").write_text("{}")
    return folder


def test_made_listed_pulled_and_read(
    own_hub: Any, cli: Callable[..., tuple[int, str, str]], model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every client gets the same plain file, before and after the hub was killed and has to expand it again."""
    monkeypatch.setenv("FREEBITS_ENDPOINT", own_hub.endpoint)
    assert cli("push", model, "admin/model")[0] == 0
    status, out, err = cli("variant", "create", "admin/model", "--method", METHOD, "--wait", "--json")
    assert status == 0, err
    job = json.loads(out)
    assert (job["state"], job["variant"]["branch"]) == ("done", METHOD)
    [listed] = json.loads(cli("variant", "ls", "admin/model", "--json")[1])
    assert (listed["commit"], listed["is_head"]) == (job["variant"]["commit"], True)
    assert "%" in cli("variant", "ls", "admin/model")[1]
    assert f"admin/model {METHOD}" in cli("jobs")[1]
    again = cli("variant", "create", "admin/model", "--method", METHOD)
    assert (again[0], listed["commit"] in again[1]) == (0, True)
    status, _, err = cli("pull", "admin/model", "--revision", METHOD, "-o", home / "pulled")
    assert status == 0, err
    plain = home / "pulled" / "model.safetensors"
    names = load_file(model / "model.safetensors").keys()
    assert load_file(plain).keys() == names
    report = json.loads((home / "pulled" / "freebits-report.json").read_text())
    assert report["bytes"]["stored"] == listed["after_nbytes"] < listed["before_nbytes"]
    with freebits.Hub() as hub, hub.open("admin/model", "model.safetensors", METHOD) as tensors:
        assert set(tensors) == set(names)
        assert tensors["lm_head.weight"].shape == (128, 64)
    sha256 = hashlib.sha256(plain.read_bytes()).hexdigest()
    own_hub.kill()
    own_hub.start()
    assert cli("pull", "admin/model", "--revision", METHOD, "-o", home / "again")[0] == 0
    assert hashlib.sha256((home / "again" / "model.safetensors").read_bytes()).hexdigest() == sha256
    variables = {"HF_ENDPOINT": own_hub.endpoint, "HF_HOME": str(home / "hf"), "HF_TOKEN": os.environ["FREEBITS_TOKEN"]}
    command = [CLIENT, "download", "admin/model", "--revision", METHOD, "--local-dir", home / "by-hf"]
    ran = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert hashlib.sha256((home / "by-hf" / "model.safetensors").read_bytes()).hexdigest() == sha256


def test_what_cannot_be_made_says_why(
    shared_hub: Any, cli: Callable[..., tuple[int, str, str]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with the reason of the codec and not after all tries; and what may not be asked for, by exit code."""
    monkeypatch.setenv("FREEBITS_ENDPOINT", shared_hub.endpoint)
    folder = home / "ordinary"
    folder.mkdir()
    (folder / "notes.txt").write_text("no model")
    assert cli("push", folder, "admin/ordinary")[0] == 0
    status, _, err = cli("variant", "create", "admin/ordinary", "--method", METHOD, "--wait")
    assert (status, "NotSymmetric" in err) == (1, True), err
    assert "NotSymmetric" in cli("jobs", "--state", "parked")[1]
    with freebits.Hub() as hub:
        asked = hub.create_variant("admin/ordinary", METHOD)
        assert asked.kind == "variant"
    for arguments, expected in (
        (("admin/ordinary", "--method", "no-such"), 2),
        (("admin/ordinary", "--method", METHOD, "--to", "main"), 1),
        (("admin/ordinary", "--method", METHOD, "--revision", "nowhere"), 3),
        (("admin/nothing", "--method", METHOD), 3),
    ):
        status, _, err = cli("variant", "create", *arguments)
        assert status == expected, err
    assert issubclass(JobFailed, freebits.errors.FreebitsError)
