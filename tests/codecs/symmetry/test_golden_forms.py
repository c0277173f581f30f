"""Symmetric forms of every format version give the same files for ever, by every expander and linear algebra."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freebits_codecs import decode, decode_file
from freebits_codecs.container.reader import BytesSource
from freebits_codecs.container.records import SYMMETRIC, VERSION
from freebits_codecs.errors import UnexpectedForm
from freebits_codecs.reference import decode_container, expand_container
from freebits_codecs.reference.form import parse_json, read_tensors
from freebits_codecs.symmetry import expand

GOLDEN = Path(__file__).parents[2] / "golden"
FOLDERS = [GOLDEN / f"v{version}" / "symmetric" for version in range(1, VERSION + 1)]
CASES = [
    (folder / f"{name}.fb", facts)
    for folder in FOLDERS
    for name, facts in json.loads((folder / "index.json").read_text()).items()
]
EACH = pytest.mark.parametrize(("path", "facts"), CASES, ids=[f"{path.parts[-3]}-{path.stem}" for path, _ in CASES])

EXPAND_ALL = """
import hashlib, sys, pathlib
from freebits_codecs.container.reader import FileSource
from freebits_codecs.symmetry import expand
target = pathlib.Path(sys.argv[1])
for path in sys.argv[3:]:
    print(expand(FileSource(path), target, device=sys.argv[2] or None).sha256)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == expand(FileSource(path), target).sha256
"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.parent.name for folder in FOLDERS])
def test_index_lists_what_is_there(folder):
    """No container lacks its entry, no entry its container."""
    listed = {path for path, _ in CASES if path.parent == folder}
    assert listed == set(folder.glob("*.fb"))
    assert listed


@EACH
def test_container_is_as_it_was(path, facts):
    """A golden container has the bytes it was written with."""
    assert sha256(path.read_bytes()) == facts["container_sha256"]


@EACH
def test_decodes_to_the_plain_file(path, facts):
    """The library gives the plain file."""
    plain = decode(path.read_bytes())
    assert (len(plain), sha256(plain)) == (facts["nbytes"], facts["sha256"])


@EACH
def test_reference_expands_to_the_plain_file(path, facts):
    """The expander of FORMAT.md gives the plain file."""
    assert sha256(expand_container(path.read_bytes())) == facts["sha256"]


@EACH
def test_torch_expands_to_the_plain_file(path, facts, tmp_path):
    """Another linear-algebra library gives the same bytes."""
    expanded = expand(BytesSource(path.read_bytes()), tmp_path / "plain", device="cpu")
    assert expanded.sha256 == facts["sha256"] == sha256((tmp_path / "plain").read_bytes())


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("device", ["", "cpu"])
def test_threads_of_linear_algebra_do_not_show(threads, device, tmp_path):
    """However many threads add up the products."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(variables, threads)}
    command = [sys.executable, "-c", EXPAND_ALL, tmp_path / "plain", device, *(path for path, _ in CASES)]
    lines = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert lines == [facts["sha256"] for _, facts in CASES]


@pytest.mark.parametrize("core", ["Nehalem", "Sandybridge", "Haswell", "SkylakeX"])
def test_kernels_of_linear_algebra_do_not_show(core, tmp_path):
    """OpenBLAS as it would run on another processor."""
    env = {**os.environ, "OPENBLAS_CORETYPE": core}
    command = [sys.executable, "-c", EXPAND_ALL, tmp_path / "plain", "", *(path for path, _ in CASES)]
    run = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    if run.returncode < 0:
        pytest.skip(f"this processor cannot run the kernels for {core}")
    assert run.stdout.split() == [facts["sha256"] for _, facts in CASES], run.stderr


def test_goldens_cover_the_format():
    """Every method, prior and dtype, all ways to make a tensor, exceptions, and a factor of no columns."""
    seen = set()
    for path, _ in CASES:
        metadata, tensors = read_tensors(decode_container(path.read_bytes(), form=SYMMETRIC))
        recipe = parse_json(metadata["freebits.recipe"], "recipe")
        seen.add(recipe["method"])
        for name, step in recipe.get("made", {}).items():
            seen.add((step["as"], step.get("axis"), tensors[step["part"]].dtype))
            seen.add((step["as"], "empty", tensors[step["part"]].numel == 0))
            assert name not in tensors
        stack = recipe.get("stack", {"steps": []})
        for step in stack["steps"]:
            seen.add((stack["prior"], step.get("dtype")))
            seen.update((axis, tensors[name].dtype) for name, axis in step.get("anchors", []))
            if "anchors" in step and tensors[step["positions"]].numel:
                seen.add("exceptions")
    assert {"bits-back", "gauge-triangular", "gauge-polar", "lora-gauge", "exceptions"} <= seen
    assert {("entropy", dtype) for dtype in ("F16", "BF16", "F32")} <= seen
    assert {("words", dtype) for dtype in ("F16", "BF16")} <= seen
    assert {(1, "F32"), (0, "F16"), ("pivots", 0, "F16"), ("pivots", 1, "BF16"), ("polar", None, "BF16")} <= seen
    assert {("triangle", None, "F16"), ("triangle", None, "F32"), ("polar", "empty", True)} <= seen


@EACH
def test_readers_of_plain_files_refuse_forms(path, facts, tmp_path):
    """Neither the plain reference nor a pipe gives a form in place of the file."""
    with pytest.raises(UnexpectedForm):
        decode_container(path.read_bytes())
    with path.open("rb") as pipe, pytest.raises(UnexpectedForm):
        decode_file(pipe, tmp_path / "plain")
