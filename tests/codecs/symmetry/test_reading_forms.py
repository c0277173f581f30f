"""Symmetric containers through the functions for any container: decode, decode_file, inspection, the command line."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from freebits_codecs import BytesSource, ContainerReader, decode, decode_file
from freebits_codecs.container.records import SYMMETRIC
from freebits_codecs.errors import CannotReproduce, UnexpectedForm
from freebits_codecs.inspection import inspect_container
from freebits_codecs.symmetry import expand
from freebits_codecs.symmetry.rotations import entry_count
from freebits_codecs.symmetry.testing import FormParts, Toy, adapter, rounded

GOLDEN = Path(__file__).parents[2] / "golden" / "v1"
FORMS = sorted((GOLDEN / "symmetric").glob("*.fb"))
PLAIN = GOLDEN / "layout-bf16.fb"
FACTS = json.loads((GOLDEN / "symmetric" / "index.json").read_text())
EACH = pytest.mark.parametrize("path", FORMS, ids=[path.stem for path in FORMS])


class Unseekable(io.RawIOBase):
    """A pipe's end."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, piece) -> int:
        self.written += bytes(piece)
        return len(piece)


@EACH
def test_decode_file_to_a_path(path, tmp_path):
    """Sizes and digest are the plain file's."""
    summary = decode_file(path, tmp_path / "plain")
    facts = FACTS[path.stem]
    assert (summary.original_nbytes, summary.sha256) == (facts["nbytes"], facts["sha256"])
    assert summary.stored_nbytes == path.stat().st_size
    assert hashlib.sha256((tmp_path / "plain").read_bytes()).hexdigest() == facts["sha256"]


def test_decode_file_over_a_longer_file(tmp_path):
    """Nothing of what was there stays."""
    target = tmp_path / "plain"
    target.write_bytes(b"x" * 1_000_000)
    decode_file(FORMS[0], target)
    assert target.read_bytes() == decode(FORMS[0].read_bytes())


def test_decode_file_to_files_that_are_open(tmp_path):
    """To one that can be sought, to one that can only be written, behind what is there, and into memory."""
    plain = decode(FORMS[0].read_bytes())
    with (tmp_path / "update").open("w+b") as update, (tmp_path / "write").open("wb") as write:
        write.write(b"before")
        decode_file(FORMS[0], update)
        decode_file(FORMS[0], write)
    assert (tmp_path / "update").read_bytes() == plain
    assert (tmp_path / "write").read_bytes() == b"before" + plain
    memory, pipe = io.BytesIO(), Unseekable()
    decode_file(FORMS[0], memory)
    decode_file(FORMS[0], pipe)
    assert memory.getvalue() == pipe.written == plain


def test_pipes_get_nothing_of_a_form_that_does_not_give_its_file(tmp_path):
    """The digest is known before the first byte goes out."""
    parts = FormParts.of(FORMS[0].read_bytes())
    parts.recipe["sha256"] = "0" * 64
    pipe, path = Unseekable(), tmp_path / "form.fb"
    path.write_bytes(parts.container())
    with pytest.raises(CannotReproduce):
        decode_file(path, pipe)
    with pytest.raises(UnexpectedForm):
        decode_file(io.BytesIO(path.read_bytes()), pipe)
    assert not pipe.written


@EACH
def test_readers_of_bytes_refuse_forms(path):
    """Ranges of the file are not ranges of its form."""
    with pytest.raises(UnexpectedForm):
        ContainerReader(BytesSource(path.read_bytes()))
    with ContainerReader.open(path, form=SYMMETRIC) as reader:
        assert reader.read(0, 8)[7] == 0


def test_expanding_a_plain_container_is_refused(tmp_path):
    """The other way round."""
    with pytest.raises(UnexpectedForm):
        expand(BytesSource(PLAIN.read_bytes()), tmp_path / "plain")


@EACH
def test_inspection_lists_the_slots(path):
    """Every tensor that is not kept, and every turn; the tensors are the form's."""
    inspection = inspect_container(path)
    recipe = FormParts.of(path.read_bytes()).recipe
    steps = recipe.get("stack", {}).get("steps", [])
    kinds = [step["as"] for step in recipe.get("made", {}).values()]
    kinds += ["hidden" if "push" in step else "turn" for step in steps]
    assert [slot.kind for slot in inspection.slots] == kinds
    assert inspection.stored_nbytes == path.stat().st_size
    kept = {tensor.name for tensor in inspection.tensors}
    for slot in inspection.slots:
        assert set(slot.tensors) <= kept if slot.kind == "turn" else not set(slot.tensors) & kept


def test_slots_of_plain_containers():
    """None, which is not an empty list."""
    assert inspect_container(PLAIN).slots is None


def test_facts_of_slots(variant_of):
    """Numbers as the methods make them."""
    toy = Toy("llama", layers=1, size=10, full=12, inner=10, vocabulary=40)
    stored = rounded(toy.tensors(), "F16")
    (square, wide) = inspect_container(variant_of(stored, "gauge-triangular").files[0].container).slots
    assert (square.kind, square.size, square.numbers, square.of) == ("triangle", 10, 55, 100)
    assert (wide.size, wide.numbers, wide.of) == (10, 55, 120)
    (square, wide) = inspect_container(variant_of(stored, "gauge-polar").files[0].container).slots
    assert (square.kind, square.numbers, wide.numbers) == ("polar", 19, 0)
    *hidden, turn = inspect_container(variant_of(stored, "bits-back").files[0].container).slots
    assert {slot.kind for slot in hidden} == {"hidden"}
    assert (turn.kind, turn.size, turn.numbers) == ("turn", 10, entry_count(10))
    assert turn.popped_bits == entry_count(10) * 14
    assert turn.correction_bits > 0
    (pair,) = inspect_container(
        variant_of(rounded(adapter(1, 6, 20, 17), "F16"), "lora-gauge").files[0].container
    ).slots
    assert (pair.kind, pair.size, pair.of - pair.numbers) == ("pivots", 6, 36)


def freebits(*arguments) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "import sys; from freebits.cli import main; sys.exit(main())",
        *map(str, arguments),
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_command_line(tmp_path):
    """verify, decode and inspect take a symmetric container as any other."""
    form = next(path for path in FORMS if path.stem == "bits-back-f16")
    found = freebits("inspect", form)
    assert found.returncode == 0, found.stderr
    assert "turn" in found.stdout
    assert freebits("verify", form).returncode == 0
    decoded = freebits("decode", form, "-o", tmp_path / "plain.safetensors")
    assert decoded.returncode == 0, decoded.stderr
    digest = hashlib.sha256((tmp_path / "plain.safetensors").read_bytes()).hexdigest()
    assert digest == FACTS["bits-back-f16"]["sha256"]
