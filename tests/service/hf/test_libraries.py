"""transformers, peft and diffusers against a hub process; ``make test-matrix`` fetches them and runs this."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PYTHON = Path(sys.prefix) / "hf-libraries" / "bin" / "python"
CHECKS = Path(__file__).with_name("library_checks.py")
CHECKPOINT = Path(__file__).parents[2] / "data" / "checkpoints" / "stories260k-bf16"
TOKEN = "admin-token-of-the-tests"


@pytest.mark.slow
@pytest.mark.skipif(
    not PYTHON.exists(), reason="torch and the libraries are gigabytes; `make test-matrix` fetches them"
)
def test_libraries(make_lasting_process: Callable[..., Any], tmp_path: Path) -> None:
    """All the checks of ``library_checks.py``, and the same model again from the cache without the hub."""
    served = make_lasting_process()
    served.start()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_ENDPOINT": served.url, "HF_TOKEN": TOKEN}
    ran = subprocess.run(
        [PYTHON, CHECKS, CHECKPOINT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    outcomes = json.loads(ran.stdout.splitlines()[-1])["checks"]
    failed = {name: outcome for name, outcome in outcomes.items() if outcome != "ok"}
    assert not failed, f"{json.dumps(failed, indent=1)}\n{ran.stderr[-4000:]}"


OFFLINE = """
import sys, transformers
model = transformers.AutoModelForCausalLM.from_pretrained("admin/tiny")
tokenizer = transformers.AutoTokenizer.from_pretrained("admin/tiny")
tokens = tokenizer("Once upon a time", return_tensors="pt")
print(tokenizer.decode(model.generate(**tokens, max_new_tokens=40, do_sample=False)[0]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not PYTHON.exists(), reason="torch and the libraries are gigabytes; `make test-matrix` fetches them"
)
def test_pulled_by_freebits_and_loaded_offline(make_lasting_process: Callable[..., Any], tmp_path: Path) -> None:
    """Push, pull, and transformers with HF_HUB_OFFLINE=1 writes the text that it writes from disk."""
    served = make_lasting_process(name="offline")
    served.start()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def run(*command: object, **variables: str) -> str:
        ran = subprocess.run(
            [str(part) for part in command],
            env={**environment, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-4000:]
        return ran.stdout

    hub = {"FREEBITS_ENDPOINT": served.url, "FREEBITS_TOKEN": TOKEN}
    run(sys.executable, "-m", "freebits", "push", CHECKPOINT, "admin/tiny", **hub)
    run(sys.executable, "-m", "freebits", "pull", "admin/tiny", **hub)
    from_cache = run(PYTHON, "-c", OFFLINE, HF_HUB_OFFLINE="1")
    from_disk = run(PYTHON, "-c", OFFLINE.replace("admin/tiny", str(CHECKPOINT)), HF_HUB_OFFLINE="1")
    assert from_cache == from_disk
    assert len(from_disk) > 60
