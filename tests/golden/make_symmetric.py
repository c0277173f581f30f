"""Write the golden symmetric forms of the current format version: `python tests/golden/make_symmetric.py`, once.

As with the other golden containers, what counts afterwards is the stored container and the SHA-256 of its plain file:
another linear-algebra library makes another container of the same seeds.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from freebits_codecs.container.records import VERSION
from freebits_codecs.symmetry import make_variant
from freebits_codecs.symmetry.testing import Tensors, Toy, adapter, rounded, write_folder

GOLDEN = Path(__file__).parent
FOLDER = "symmetric"
SMALL = {"size": 36, "full": 40, "inner": 40, "vocabulary": 12}


@dataclass(frozen=True)
class Case:
    """A checkpoint of one dtype and how its variant is made."""

    name: str
    covers: str
    tensors: Tensors
    dtype: str
    method: str
    prior: str = "entropy"


def sliced() -> list[Case]:
    opt, llama, phi = (Toy(style, **SMALL).tensors(seed) for seed, style in enumerate(("opt", "llama", "phi")))
    wider = Toy("llama", size=48, full=56, inner=24, vocabulary=16).tensors(1)
    return [
        Case("bits-back-f16", "turns, hidden tensors, exceptions", opt, "F16", "bits-back"),
        Case("bits-back-bf16", "another width of mantissas", llama, "BF16", "bits-back"),
        Case("bits-back-f32", "values of two halves, eigenvalues in F64", llama, "F32", "bits-back"),
        Case("bits-back-words-bf16", "a stack of words", wider, "BF16", "bits-back", "words"),
        Case("gauge-triangular-f16", "triangles, the last one wider than high", opt, "F16", "gauge-triangular"),
        Case("gauge-triangular-f32", "triangles", phi, "F32", "gauge-triangular"),
        Case("gauge-polar-f16", "polar factors, the last one of no columns", phi, "F16", "gauge-polar"),
        Case("gauge-polar-bf16", "polar factors rounded by way of float32", llama, "BF16", "gauge-polar"),
    ]


def adapters() -> list[Case]:
    wide, high = adapter(2, 32, 64, 48), adapter(2, 32, 40, 72, style="kohya", seed=1)
    return [
        Case("lora-gauge-f16", "pivots among rows", wide, "F16", "lora-gauge"),
        Case("lora-gauge-bf16", "pivots among columns", high, "BF16", "lora-gauge"),
        Case("lora-bits-back-words-f16", "a stack of words", adapter(4, 48, 52, 52), "F16", "bits-back", "words"),
        Case("lora-bits-back-f16", "anchors by rows", adapter(4, 40, 48, 48), "F16", "bits-back"),
    ]


def write(case: Case, target: Path) -> dict[str, object]:
    """Write the container; its entry in the index."""
    with tempfile.TemporaryDirectory() as scratch:
        source, variant = write_folder(Path(scratch, "source"), rounded(case.tensors, case.dtype)), Path(scratch, "to")
        variant.mkdir()
        (file,) = make_variant(source, variant, case.method, prior=case.prior).files
        container = file.container.read_bytes()
    target.write_bytes(container)
    container_sha256 = hashlib.sha256(container).hexdigest()
    return {
        "covers": case.covers,
        "nbytes": file.nbytes,
        "sha256": file.sha256,
        "container_sha256": container_sha256,
    }


def main() -> None:
    folder = GOLDEN / f"v{VERSION}" / FOLDER
    if folder.exists():
        print(f"{folder} is there and stays: golden files belong to their format version")
        return
    folder.mkdir(parents=True)
    index = {case.name: write(case, folder / f"{case.name}.fb") for case in [*sliced(), *adapters()]}
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
