"""The wheel that the images are built from holds what a hub needs and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from images import ROOT


@pytest.mark.slow
def test_the_wheel_has_the_core_and_the_migrations(tmp_path: Path) -> None:
    """`freebits migrate` in a container finds the same revisions as in a checkout."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel", "--no-deps"]
    done = subprocess.run(
        [*command, "--no-build-isolation", f"--wheel-dir={tmp_path}", "--config-settings=build-dir=", ROOT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("freebits-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    revisions = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    assert {f"freebits_service/migrations/versions/{name}" for name in revisions} <= names
    assert "freebits_service/migrations/env.py" in names
    assert any(name.startswith("freebits_codecs/_core.") and name.endswith(".so") for name in names)
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"freebits", "freebits_codecs", "freebits_service"}
