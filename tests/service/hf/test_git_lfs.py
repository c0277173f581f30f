"""The real git-lfs, with the hub as its LFS server: pushes objects of any length as one body, and fetches them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hf_client import HfClient, hf_digest, lfs_line

FOUND = shutil.which("git-lfs", path=f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}")
CONTENT = random.Random(2).randbytes(3_000_003)  # more than one part
TOKEN = "admin-token-of-the-tests"

pytestmark = [
    pytest.mark.skipif(FOUND is None or shutil.which("git") is None, reason="git-lfs is not to be had here"),
    pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True),
]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs git without the user's settings."""
    assert FOUND is not None
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(FOUND).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }

    def git(folder: Path, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{arguments}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    return git


def test_push_and_fetch(
    make_process: Callable[..., Any], connect: Callable[..., Any], run: Callable[..., str], tmp_path: Path
) -> None:
    """The token is the password of the address; what is fetched is what was pushed."""
    served = make_process("--no-worker")
    served.start()
    hf = HfClient(connect(served).http, TOKEN)
    assert hf.create("lfs").status_code == 200
    server = f"{served.url.replace('//', f'//any:{TOKEN}@')}/admin/lfs.git/info/lfs"
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    run(source, "init", "-q")
    run(source, "lfs", "install", "--local")
    run(source, "lfs", "track", "*.bin")
    (source / "model.bin").write_bytes(CONTENT)
    run(source, "add", ".")
    run(source, "commit", "-q", "-m", "weights")
    run(source, "remote", "add", "origin", str(copy))
    run(source, "config", "lfs.url", server)
    run(source, "lfs", "push", "--object-id", "origin", hf_digest(CONTENT))
    assert hf.commit("admin/lfs", lfs_line("model.bin", CONTENT)).status_code == 200

    run(tmp_path, "clone", "-q", str(source), str(copy))
    assert (copy / "model.bin").read_bytes() != CONTENT
    run(copy, "lfs", "install", "--local")
    run(copy, "config", "lfs.url", server)
    run(copy, "lfs", "pull")
    assert (copy / "model.bin").read_bytes() == CONTENT
