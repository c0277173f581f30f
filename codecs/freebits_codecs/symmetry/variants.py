"""Make an equivalent variant of a checkpoint folder, with a report of what it cost and saved."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freebits_codecs.errors import NotSymmetric
from freebits_codecs.symmetry.adapters import adapter_bits_back, find_pairs
from freebits_codecs.symmetry.algebra import open_algebra
from freebits_codecs.symmetry.bits_back import Outcome
from freebits_codecs.symmetry.checkpoint import Checkpoint, index_files
from freebits_codecs.symmetry.form import Parts, write_form
from freebits_codecs.symmetry.lora_gauge import MAX_ERROR, lora_gauge
from freebits_codecs.symmetry.report import make_report
from freebits_codecs.symmetry.safetensors_file import SafetensorsFile
from freebits_codecs.symmetry.sliced import bits_back, polar, triangular
from freebits_codecs.symmetry.structure import find_slots, is_sliced
from freebits_codecs.symmetry.turning import Turner

METHODS = ("bits-back", "gauge-polar", "gauge-triangular", "lora-gauge")
BITS_BACK, GAUGE_POLAR, GAUGE_TRIANGULAR, LORA_GAUGE = METHODS
Done = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class VariantFile:
    """A file of the variant: at `path` (posix) clients see `nbytes` bytes of digest `sha256`, made of `container`."""

    path: str
    container: Path
    container_nbytes: int
    nbytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Variant:
    """`files` take the place of `removed` files of the source; all other files of the source stay."""

    method: str
    files: tuple[VariantFile, ...]
    removed: tuple[str, ...]
    report: dict[str, Any]


def make_variant(
    source: Path,
    target: Path,
    method: str,
    *,
    device: str | None = None,
    threads: int = 1,
    prior: str = "entropy",
    max_error: float = MAX_ERROR,
    token_ids: Sequence[int] | None = None,
    progress: Done | None = None,
) -> Variant:
    """Write the variant of the checkpoint in folder `source` that `method` makes into the empty folder `target`.

    `device` None does the linear algebra in numpy, else in torch on that device. `prior` is "entropy", or "words" for
    the paper's cost model (16 bits per float). `max_error` is for "lora-gauge": how much rounding may add to an
    adapter, over what rounding it once did. `token_ids` are what logits are compared on. `progress` is told how many
    bytes of the source are done.
    Raises NotSymmetric when the model has not the symmetry, MissingLibrary, ValueError for an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    began = time.perf_counter()
    with Checkpoint(source) as checkpoint, tempfile.TemporaryDirectory(dir=target, prefix=".scratch-") as scratch:
        plain_path = Path(scratch, "plain.safetensors")
        plain = SafetensorsFile(plain_path, checkpoint.described(), {"format": "pt"})
        parts = Parts(Path(scratch, "parts"))
        try:
            turner = Turner(checkpoint, plain, open_algebra(device))
            outcome = _apply(method, checkpoint, turner, parts, _Options(prior, max_error), _Counter(progress))
            turned_s = time.perf_counter() - began
            name = _file_name(checkpoint)
            container = target / f"{name}.fb"
            stored = write_form(
                container, plain, outcome.hidden, parts, {"method": method, **outcome.recipe}, threads=threads
            )
            report = make_report(
                method,
                checkpoint,
                turner,
                outcome,
                stored,
                plain_path,
                container,
                Path(scratch),
                token_ids=token_ids,
                threads=threads,
                turned_s=turned_s,
            )
        finally:
            plain.close()
            parts.close()
        if report["bytes"]["saved"] <= 0:
            raise NotSymmetric(
                f"{method} would store {report['bytes']['stored']} bytes, plain lossless coding "
                f"{report['bytes']['lossless']}",
                "keep the checkpoint as it is",
            )
        file = VariantFile(name, container, stored.container_nbytes, stored.nbytes, stored.sha256)
        return Variant(method, (file,), _removed(checkpoint, name), report)


@dataclass(frozen=True, slots=True)
class _Options:
    prior: str
    max_error: float


def _apply(method: str, checkpoint: Checkpoint, turner: Turner, parts: Parts, options: _Options, done: Done) -> Outcome:
    """Write every tensor of the plain file."""
    if method == LORA_GAUGE or (method == BITS_BACK and not is_sliced(checkpoint.names())):
        return _apply_to_adapter(method, checkpoint, turner, parts, options, done)
    slots = find_slots(checkpoint)
    placed = {name for slot in slots for name in [*slot.members, slot.before]}
    _keep_others(checkpoint, turner, placed)
    if method == BITS_BACK:
        return bits_back(slots, turner, parts, options.prior, done)
    return (polar if method == GAUGE_POLAR else triangular)(slots, turner, parts, done)


def _apply_to_adapter(
    method: str, checkpoint: Checkpoint, turner: Turner, parts: Parts, options: _Options, done: Done
) -> Outcome:
    try:
        pairs = find_pairs(checkpoint)
    except NotSymmetric:
        if method == LORA_GAUGE:
            raise
        find_slots(checkpoint)  # neither sliced nor an adapter: this says what is missing
        raise
    _keep_others(checkpoint, turner, {name for pair in pairs for name in (pair.a, pair.b)})
    if method == LORA_GAUGE:
        return lora_gauge(pairs, turner, parts, options.max_error, done)
    return adapter_bits_back(pairs, turner, parts, options.prior, done)


def _keep_others(checkpoint: Checkpoint, turner: Turner, placed: Iterable[str | None]) -> None:
    known = set(placed)
    for name in checkpoint.names():
        if name not in known:
            turner.keep(name)


def _file_name(checkpoint: Checkpoint) -> str:
    """A safetensors file keeps its name; shards and torch files become the one that loaders look for."""
    first = checkpoint.paths[0]
    if len(checkpoint.paths) == 1 and first.suffix == ".safetensors":
        return first.name
    return "adapter_model.safetensors" if first.name.startswith("adapter") else "model.safetensors"


def _removed(checkpoint: Checkpoint, name: str) -> tuple[str, ...]:
    paths = [*checkpoint.paths, *index_files(checkpoint.folder)]
    return tuple(path.name for path in paths if path.name != name)


class _Counter:
    """Bytes so far, from bytes of each step."""

    def __init__(self, progress: Done | None) -> None:
        self._progress, self._nbytes = progress, 0

    def __call__(self, nbytes: int) -> None:
        self._nbytes += nbytes
        if self._progress:
            self._progress(self._nbytes)
