"""Is the gain still there after general-purpose compressors? Two blocks of an OPT-2.7B at 20 %, extrapolated."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zstandard
from markdown_table import markdown
from sliced_shapes import SHAPES, Shape, WeightMaker

from freebits_codecs import FileSource, encode
from freebits_codecs.container.reader import ContainerReader
from freebits_codecs.container.records import SYMMETRIC
from freebits_codecs.symmetry import make_variant
from freebits_codecs.symmetry.floats import FLOAT_TYPES
from freebits_codecs.symmetry.safetensors_file import Described, SafetensorsFile

BLOCKS, SLICING, THREADS = 2, 20, 2
REBUTTAL = {"zstd-3": "3.78 -> 3.60", "byte shuffle + zstd-3": "3.48 -> 3.33"}
VARIANTS = (("bits-back", "words"), ("bits-back", "entropy"), ("gauge-triangular", ""), ("gauge-polar", ""))
KIND = FLOAT_TYPES["F16"]


def shuffled(data: bytes) -> bytes:
    """Low bytes, then high bytes."""
    return np.frombuffer(data[: len(data) // 2 * 2], np.uint8).reshape(-1, 2).T.tobytes() + data[len(data) // 2 * 2 :]


COMPRESSORS: dict[str, Callable[[bytes], int]] = {
    "none": len,
    "zstd-3": lambda data: len(zstandard.ZstdCompressor(3, threads=THREADS).compress(data)),
    "byte shuffle + zstd-3": lambda data: len(zstandard.ZstdCompressor(3, threads=THREADS).compress(shuffled(data))),
    "freebits": lambda data: len(encode(data, threads=THREADS)),
}


def compressors_table() -> str:
    """GB of the whole model: the measured size per parameter, and the measured saving per slot."""
    shape = next(shape for shape in SHAPES if shape.name == "OPT-2.7B")
    kept = shape.kept(SLICING)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        source.mkdir()
        _write_blocks(source / "model.safetensors", shape, kept)
        plain = (source / "model.safetensors").read_bytes()
        before = {name: compress(plain) for name, compress in COMPRESSORS.items()}
        savings = {
            variant: _savings(source, Path(scratch, "-".join(variant)), *variant, before) for variant in VARIANTS
        }
    heads = ["compressor", "sliced, GB", *(" ".join(variant).strip() for variant in VARIANTS), "paper's rebuttal, GB"]
    parameters, slots = shape.sliced_parameters(kept), 2 * shape.layers - 1
    rows = []
    for name in COMPRESSORS:
        whole = before[name] / len(plain) * 2 * parameters
        after = [whole - slots * savings[variant][name] for variant in VARIANTS]
        texts = [f"{nbytes / 1e9:.3f} ({100 * (nbytes / whole - 1):+.2f} %)" for nbytes in after]
        rows.append([name, f"{whole / 1e9:.3f}", *texts, REBUTTAL.get(name, "-")])
    return markdown(f"OPT-2.7B shape, {SLICING} % sliced, F16, after compressors", heads, rows)


def _savings(source: Path, target: Path, method: str, prior: str, before: dict[str, int]) -> dict[str, float]:
    """Bytes saved per slot that was turned, by compressor."""
    target.mkdir()
    variant = make_variant(source, target, method, prior=prior or "entropy", threads=THREADS)
    container = FileSource(variant.files[0].container)
    reader = ContainerReader(container, THREADS, SYMMETRIC)
    form = reader.read(0, reader.nbytes)
    container.close()
    turned = 2 * BLOCKS - 1 if method == "bits-back" else 2 * BLOCKS
    return {name: (before[name] - compress(form)) / turned for name, compress in COMPRESSORS.items()}


def _write_blocks(path: Path, shape: Shape, kept: int) -> None:
    """Two blocks, none of them the last, between an embedding and a head of a few tokens."""
    maker = WeightMaker(np.random.default_rng(7), shape, kept)
    tensors = {"model.decoder.embed_tokens.weight": maker.linear(64, kept)}
    for layer in range(BLOCKS):
        tensors.update(maker.block(f"model.decoder.layers.{layer}", is_last=False))
    tensors["lm_head.weight"] = maker.linear(64, kept)
    file = SafetensorsFile(path, [Described(name, "F16", array.shape) for name, array in tensors.items()], {})
    for name, array in tensors.items():
        file.write(name, KIND.rounded(array).tobytes())
    file.finish()
