"""slice, generate, perplexity on a real small model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

STORIES = Path(__file__).parents[1] / "data" / "checkpoints" / "stories260k-bf16"
TEXT = (
    "Once upon a time, there was a little girl named Lily. She loved to play with her toys in the park.\n"
    "One day, her mom gave her a big red ball. Lily was very happy and wanted to show it to her friend Tom.\n"
    "Tom was sad because he had no ball. Lily said, let us play together! They played until the sun went down.\n"
)


@pytest.fixture
def text(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text of a thousand tokens; the commands it is given to keep to one thread, as the model is tiny."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = home / "text"
    path.write_text(TEXT * 10)
    return path


def test_slice_and_run(cli: Run, home: Path, text: Path) -> None:
    """Facts as JSON, progress on stderr; what was written runs."""
    size = ("--samples", "8", "--sequence-length", "64")
    command = ("slice", STORIES, "--sparsity", "0.25", "--calibration", text, "-o", "out", "--evaluate", text)
    done = cli(*command, *size, "--json", "--progress")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["slot_widths"] == [48] * 10 + [64]
    assert facts["nbytes"] == 520064
    assert facts["sliced_nbytes"] == 507648 < (home / "out" / "model.safetensors").stat().st_size
    assert 1 < facts["perplexity"]["before"] < facts["perplexity"]["after"] < 100
    assert "slice" in done.stderr

    measured = cli("perplexity", "out", "--text", text, "--sequence-length", "64")
    assert measured.stdout == f"{facts['perplexity']['after']:.3f}\n"
    told = cli("generate", "out", "--prompt", "Once upon a time", "--max-new-tokens", "5", "--json")
    assert json.loads(told.stdout)["new_tokens"] == 5
    assert json.loads(told.stdout)["text"].startswith("Once upon a time")


def test_refusals(cli: Run, home: Path, text: Path) -> None:
    """One line each, with the exit codes of every command; nothing is written."""
    command = ("slice", STORIES, "--calibration", text, "--sparsity", "0.25")
    short = cli(*command, "-o", "out")
    assert short.returncode == 2
    assert "expected at least 65536, for 128 samples of 512 tokens" in short.stderr
    assert cli(*command, "-o", home, "--samples", "1").returncode == 2
    assert cli("slice", home, *command[2:], "-o", "out").returncode == 3
    (home / "config.json").write_text('{"model_type": "mamba"}')
    unknown = cli("slice", home, *command[2:], "-o", "out")
    assert unknown.returncode == 1
    assert "model_type is 'mamba'" in unknown.stderr
    assert not (home / "out").exists()


def test_sparsity_is_a_part(cli: Run) -> None:
    """An error of usage, found without torch."""
    for sparsity in ("1", "-0.1", "nan", "x"):
        refused = cli("slice", ".", "--calibration", "t", "-o", "out", f"--sparsity={sparsity}")
        assert refused.returncode == 2
        assert "--sparsity" in refused.stderr


@pytest.mark.parametrize("library", ["torch", "tokenizers"])
def test_a_missing_library_is_named(library: str, home: Path) -> None:
    """With the extra that brings it."""
    code = f"import sys; sys.modules[{library!r}] = None; from freebits.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "generate", str(STORIES), "--prompt", "Once"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    assert refused.returncode == 1
    assert f'needs {library}, which is not installed; run: pip install "freebits[symmetry]"' in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
