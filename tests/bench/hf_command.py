"""The `hf` command of a release, as its users run it, and a folder for it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from data import benchmark_file
from running_hub import TOKEN

ENVIRONMENTS = Path(sys.prefix) / "hf"
FILES = 4


def make_folder(folder: Path, nbytes: int) -> dict[str, str]:
    """Files of weights in which no two stretches are the same, and their SHA-256.

    The weights of one model in another order for each file: a client that sends equal chunks once finds none.
    """
    weights = np.frombuffer(benchmark_file(nbytes // FILES).read_bytes()[: nbytes // FILES], np.uint16)
    digests = {}
    folder.mkdir()
    for number in range(FILES):
        content = np.random.default_rng(number).permutation(weights).tobytes()
        (folder / f"part-{number}.bin").write_bytes(content)
        digests[f"part-{number}.bin"] = hashlib.sha256(content).hexdigest()
    return digests


class Client:
    """The `hf` command of one release, with a home of its own for each command, `inside` a namespace if given."""

    def __init__(self, version: str, scratch: Path, inside: tuple[str, ...] = ()) -> None:
        self._hf = ENVIRONMENTS / version / "bin" / "hf"
        self._scratch = scratch
        self._inside = inside
        if not self._hf.exists():
            raise SystemExit(f"no huggingface_hub {version} in {ENVIRONMENTS}: make setup")

    def seconds(self, endpoint: str, *arguments: str, **variables: str) -> float:
        """How long a command takes."""
        home = self._scratch / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(home), "HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN}
        environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", **variables}
        begun = time.monotonic()
        command = [*self._inside, self._hf, *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        took = time.monotonic() - begun
        if ran.returncode:
            raise RuntimeError(f"hf {arguments}: {ran.stdout[-1000:]}{ran.stderr[-3000:]}")
        return took

    def download(self, endpoint: str, repo: str, digests: dict[str, str], **variables: str) -> float:
        """A download, whose bytes are compared afterwards."""
        target = self._scratch / "downloaded"
        shutil.rmtree(target, ignore_errors=True)
        took = self.seconds(endpoint, "download", repo, "--local-dir", str(target), **variables)
        for name, digest in digests.items():
            if hashlib.sha256((target / name).read_bytes()).hexdigest() != digest:
                raise AssertionError(f"{name} came back changed")
        return took
