"""What each process of the service must not import: starting it is paid for by every command and every job."""

from __future__ import annotations

import subprocess
import sys

import pytest

WEB_SERVER = {"fastapi", "starlette", "uvicorn"}


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("freebits_service.cli.gc", WEB_SERVER | {"numpy", "dbos"}),
        ("freebits_service.cli.migrate", WEB_SERVER | {"numpy", "dbos"}),
        ("freebits_service.cli.fsck", WEB_SERVER | {"dbos"}),
        ("freebits_service.cli.worker", WEB_SERVER),
        ("freebits_service.workers.__main__", WEB_SERVER),
        ("freebits_service.workers.encoding_tasks", WEB_SERVER | {"sqlalchemy", "dbos"}),
        ("freebits_service.workers.variant_tasks", WEB_SERVER | {"sqlalchemy", "dbos"}),
    ],
)
def test_only_what_it_needs(module: str, forbidden: set[str]) -> None:
    script = f"import sys, {module}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert module in run.stdout.split()
    assert forbidden.isdisjoint(run.stdout.split())
