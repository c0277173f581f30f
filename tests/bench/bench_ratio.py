"""Stored size of every weight file of a folder under freebits and under each peer, as a table.

    python tests/bench/bench_ratio.py FOLDER [--json] [--without-freebits]

Peers get every help a knowing user could give: the tensors' places and dtypes, buffers per dtype or per
tensor, the best of several configurations for each. freebits gets the file and nothing else.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

from bounds import order0_nbytes
from extents import FLOATS, Extent, find_extents
from peers import Freebits, OpenZL, Peer, ZipNN, Zstd

WEIGHT_SUFFIXES = {".safetensors", ".pth", ".pt", ".bin", ".hdf5", ".zip", ".tflite"}
OPENZL_EXPONENT = ("Entropy", "Fse", "Zstd")
OPENZL_FRACTION = ("Store", "Zstd", "Planes-Zstd", "Planes-Fse")
OPENZL_U8 = ("Entropy", "Fse", "Zstd", "Store")


def stored_nbytes(peer: Peer, data: memoryview) -> int:
    """Bytes `peer` makes of `data`, after checking that it gives the same bytes back."""
    stored = peer.encode(peer.prepare(data))
    if memoryview(peer.decode(stored)).cast("B") != data:
        raise AssertionError(f"{peer.name} did not give back the {len(data)} bytes it was given")
    return peer.stored_nbytes(stored)


def buffers_by_dtype(data: memoryview, extents: Sequence[Extent]) -> dict[str, memoryview]:
    """All tensors of one dtype after each other, per float dtype; everything else of the file under U8."""
    parts: dict[str, list[memoryview]] = {}
    position = 0
    floats = [extent for extent in extents if extent.dtype in FLOATS]
    for dtype, start, stop in [*floats, Extent("U8", len(data), len(data))]:
        parts.setdefault("U8", []).append(data[position:start])
        parts.setdefault(dtype, []).append(data[start:stop])
        position = stop
    return {dtype: memoryview(b"".join(pieces)) for dtype, pieces in parts.items()}


def zipnn_nbytes(data: memoryview, extents: Sequence[Extent]) -> int:
    """The smallest of: the whole file under one dtype, one buffer per dtype, every tensor alone or raw."""
    buffers = buffers_by_dtype(data, extents)
    whole = [stored_nbytes(ZipNN(dtype), data) for dtype in buffers]
    per_dtype = sum(min(len(part), stored_nbytes(ZipNN(dtype), part)) for dtype, part in buffers.items())
    alone = [(dtype, data[start:stop]) for dtype, start, stop in extents if dtype in FLOATS]
    per_tensor = sum(min(len(part), stored_nbytes(ZipNN(dtype), part)) for dtype, part in alone)
    return min(*whole, per_dtype, per_tensor + len(buffers["U8"]))


def openzl_nbytes(data: memoryview, extents: Sequence[Extent]) -> int:
    """One buffer per dtype, split into exponents (its choice of entropy coder) and fractions (stored)."""
    return sum(
        stored_nbytes(OpenZL(dtype) if dtype in FLOATS else OpenZL(dtype, "Zstd"), part)
        for dtype, part in buffers_by_dtype(data, extents).items()
        if len(part)
    )


def openzl_searched_nbytes(data: memoryview, extents: Sequence[Extent]) -> int:
    """The smaller of one buffer per dtype and every tensor alone, each under its best graph."""
    buffers = buffers_by_dtype(data, extents)
    per_dtype = sum(openzl_best(dtype, part) for dtype, part in buffers.items())
    alone = [(dtype, data[start:stop]) for dtype, start, stop in extents if dtype in FLOATS]
    per_tensor = sum(openzl_best(dtype, part) for dtype, part in alone) + openzl_best("U8", buffers["U8"])
    return min(per_dtype, per_tensor)


def openzl_best(dtype: str, part: memoryview) -> int:
    if dtype not in FLOATS:
        candidates = [OpenZL(dtype, graph) for graph in OPENZL_U8]
    else:
        splits = {dtype, "BF16"} if dtype == "F16" else {dtype}  # BF16's split of F16 is a split into bytes
        candidates = [OpenZL(*graphs) for graphs in product(splits, OPENZL_EXPONENT, OPENZL_FRACTION)]
    return min(stored_nbytes(peer, part) for peer in candidates) if len(part) else 0


def bound_nbytes(data: memoryview, extents: Sequence[Extent]) -> int:
    return order0_nbytes(data, extents)


def bound_zstd_nbytes(data: memoryview, extents: Sequence[Extent]) -> int:
    """As `bound_nbytes`, but every byte outside float tensors goes through zstd-19."""
    rest = buffers_by_dtype(data, extents)["U8"]
    return order0_nbytes(data, extents, min(len(rest), stored_nbytes(Zstd(19), rest)))


PEERS = ("zstd-3", "zstd-19", "zipnn", "openzl", "openzl, searched")
Column = Callable[[memoryview, Sequence[Extent]], int]
COLUMNS: dict[str, Column] = {
    "zstd-3": lambda data, _: stored_nbytes(Zstd(3), data),
    "zstd-19": lambda data, _: stored_nbytes(Zstd(19), data),
    "zipnn": zipnn_nbytes,
    "openzl": openzl_nbytes,
    "openzl, searched": openzl_searched_nbytes,
    "bound": bound_nbytes,
    "bound, rest zstd-19": bound_zstd_nbytes,
    "freebits": lambda data, _: stored_nbytes(Freebits(), data),
}


def measure(folder: Path, columns: dict[str, Column]) -> Iterator[dict[str, object]]:
    for path in sorted(path for path in folder.rglob("*") if path.suffix in WEIGHT_SUFFIXES):
        data = path.read_bytes()
        extents = find_extents(path, data)
        if path.suffix == ".bin":  # says nowhere what it holds: the dtype with the cheaper exponents
            guesses = [find_extents(path, data, dtype) for dtype in ("F16", "F32")]
            extents = min(guesses, key=lambda guess: order0_nbytes(memoryview(data), guess))
        row: dict[str, object] = {"file": str(path.relative_to(folder)), "nbytes": len(data)}
        row["dtypes"] = "+".join(sorted({extent.dtype for extent in extents}))
        sizes = {name: column(memoryview(data), extents) for name, column in columns.items()}
        yield row | sizes | (compare(sizes) if "freebits" in sizes else {})


def compare(sizes: dict[str, int]) -> dict[str, object]:
    """freebits against the best peer and against the bound; below 1 is smaller, that is better."""
    best_peer = min(sizes[name] for name in PEERS)
    against = {"/ best peer": best_peer, "/ bound": sizes["bound"]}
    return {head: f"{sizes['freebits'] / other:.4f}" for head, other in against.items()}


def markdown(rows: Sequence[dict[str, object]]) -> str:
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a markdown table")
    parser.add_argument("--without-freebits", action="store_true", help="peers and bounds only")
    arguments = parser.parse_args()
    columns = dict(COLUMNS)
    if arguments.without_freebits:
        del columns["freebits"]
    rows = list(measure(arguments.folder, columns))
    print(json.dumps(rows, indent=1) if arguments.json else markdown(rows))


if __name__ == "__main__":
    main()
