"""Released versions of huggingface_hub against a hub process, as they come from the package index.

Each has an environment of its own (``make setup`` and ``make test-matrix`` make them), knows nothing of freebits, and
is told HF_ENDPOINT and HF_TOKEN alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

IN_EVERY_RUN = ("0.36.2", "1.0.1", "1.19.0", "2.4.0")  # as HF_CLIENTS in the Makefile
ENVIRONMENTS = Path(sys.prefix) / "hf"
INSTALLED = sorted(folder.parent.name for folder in ENVIRONMENTS.glob("*/.installed"))
CHECKS = Path(__file__).with_name("client_checks.py")
TOKEN = "admin-token-of-the-tests"
KEPT = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE")


@pytest.fixture(scope="module")
def served(make_lasting_process: Callable[..., Any]) -> Any:
    """A hub with its worker, so that files are read raw and encoded as it comes."""
    served = make_lasting_process()
    served.start()
    return served


@pytest.mark.parametrize("version", [*IN_EVERY_RUN, *[found for found in INSTALLED if found not in IN_EVERY_RUN]])
def test_everything_that_a_client_does(version: str, served: Any, tmp_path: Path) -> None:
    """All the checks of ``client_checks.py``."""
    check(version, served.url, tmp_path)


@pytest.fixture(scope="module")
def served_by_xet(make_lasting_process: Callable[..., Any]) -> Any:
    """A hub that offers every file by Xet."""
    served = make_lasting_process("--xet-downloads-from-nbytes", "1", name="by-xet")
    served.start()
    return served


@pytest.mark.parametrize("version", [IN_EVERY_RUN[0], IN_EVERY_RUN[-1]])
def test_the_same_by_xet(version: str, served_by_xet: Any, tmp_path: Path) -> None:
    """Where all that has a byte is downloaded by Xet."""
    check(version, served_by_xet.url, tmp_path)
    assert "/v2/reconstructions/" in served_by_xet.log()


@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
@pytest.mark.parametrize("version", [IN_EVERY_RUN[0], IN_EVERY_RUN[-1]])
def test_the_same_in_production(
    version: str, make_process: Callable[..., Any], s3_place: dict[str, Any], tmp_path: Path
) -> None:
    """On Postgres and S3, where the oldest client sends parts to the store and the newest one xorbs."""
    flags = [part for name, value in s3_place.items() for part in (f"--{name.replace('_', '-')}", value)]
    served = make_process(*flags, "--no-worker", "--part-nbytes", str(5 << 20))
    served.start()
    check(version, served.url, tmp_path)


def check(version: str, url: str, home: Path) -> None:
    """Run the checks with one release of the client; all are ok."""
    python = ENVIRONMENTS / version / "bin" / "python"
    assert python.exists(), f"no environment with huggingface_hub {version}; run `make setup`"
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment |= {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HOME": str(home)}
    ran = subprocess.run(
        [python, CHECKS], env=environment, cwd=home, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    report = json.loads(ran.stdout.splitlines()[-1])
    assert version in {report["huggingface_hub"], "newest"}
    failed = {name: outcome for name, outcome in report["checks"].items() if outcome != "ok"}
    assert not failed, f"{json.dumps(failed, indent=1)}\n{ran.stderr[-4000:]}"
    assert len(report["checks"]) >= 14
