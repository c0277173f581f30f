"""The images keep the rules that a container has to keep."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from images import DOCKERFILE, ROOT, Stage

BIN = Path(sys.executable).parent
FINAL = ("api", "worker", "worker-gpu")


def test_hadolint_has_nothing_to_say() -> None:
    """The linter knows more bad habits than we do."""
    done = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", FINAL)
def test_a_final_image(dockerfile: dict[str, Stage], name: str) -> None:
    """Slim pinned base, numeric user without rights, exec-form start, a health check, labels."""
    stage = dockerfile[name]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", stage.base)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", stage.user)
    assert stage.entrypoint == ["freebits"]  # a list: the program itself is pid 1 and gets SIGTERM
    assert stage.healthcheck[0] == "python"
    assert {f"org.opencontainers.image.{key}" for key in ("title", "description", "licenses", "version")} <= set(
        stage.labels
    )
    assert ("STOPSIGNAL", "SIGTERM") in stage.instructions


@pytest.mark.parametrize("name", FINAL)
def test_no_build_tools_and_no_torch_where_it_is_not_needed(dockerfile: dict[str, Stage], name: str) -> None:
    """Nothing is installed in a final stage; it copies an environment, and only that of the GPU image has torch."""
    runs = [value for instruction, value in dockerfile[name].instructions if instruction == "RUN"]
    assert not [run for run in runs if "apt-get" in run or "pip install" in run or "python install" in run]
    (copy,) = [value for instruction, value in dockerfile[name].instructions if instruction == "COPY"]
    environment = copy.split()[0].removeprefix("--from=")
    installs = " ".join(value for instruction, value in dockerfile[environment].instructions if instruction == "RUN")
    assert ("torch" in installs) == (name == "worker-gpu")


def test_only_what_is_copied_reaches_the_builder(dockerfile: dict[str, Stage]) -> None:
    """`.dockerignore` lets in what the build copies and nothing else: no `.env`, no `.git`, no data."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = [
        source
        for stage in ("build", "environment")
        for instruction, value in dockerfile[stage].instructions
        if instruction == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    assert allowed == set(copied)
    assert all((ROOT / path).exists() for path in allowed)


def test_the_versions_that_images_are_built_from_are_pinned() -> None:
    """One exact version a line, and all that the service stands on is among them."""
    pins = (ROOT / "docker" / "constraints.txt").read_text()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in pins.splitlines() if not line.startswith("#"))
    for needed in ("fastapi", "sqlalchemy", "boto3", "dbos", "psycopg", "uvicorn", "opentelemetry-sdk", "numpy"):
        assert re.search(rf"^{needed}==", pins, re.MULTILINE | re.IGNORECASE), needed
