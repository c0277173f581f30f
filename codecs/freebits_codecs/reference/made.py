"""(11.2) Tensors that are made of a part and of what their shape implies."""

from __future__ import annotations

import numpy as np

from freebits_codecs.errors import CorruptContainer, LimitExceeded
from freebits_codecs.reference.form import Entry, Fields, Floats, Tensor, Words, as_dtype

MAX_ROWS = 1 << 16
MAX_SQUARE = 1.5
Parts = dict[str, Tensor]


def make_tensor(fields: Fields, entry: Entry, parts: Parts) -> bytes:
    """The bytes of a tensor of which `made` says how it is made."""
    if entry.dtype not in ("F16", "BF16", "F32") or len(entry.shape) != 2:
        raise CorruptContainer("made tensor", found=(entry.dtype, entry.shape), expected="a matrix of floats")
    d, n = entry.shape
    kind = fields.text("as")
    if (rows := min(d, n) if kind == "pivots" else d) > MAX_ROWS:
        raise LimitExceeded("rows of a made matrix", found=rows, limit=MAX_ROWS)
    if not rows:
        raise CorruptContainer("made tensor", found=entry.shape, expected="rows and columns")
    if kind == "triangle":
        return _triangle(part_of(fields, parts, entry.dtype, (d * (d + 1) // 2,)).words(), d, n)
    if kind == "polar":
        rank = fields.number("rank", 0, d)
        numel = sum(min(i + 1, rank) for i in range(d))
        return _polar(part_of(fields, parts, entry.dtype, (numel,)).floats(), rank, d, n, entry.dtype)
    if kind == "pivots":
        return _pivots(fields, entry, parts)
    raise CorruptContainer("kind of a made tensor", found=kind, expected="triangle, polar or pivots")


def part_of(fields: Fields, parts: Parts, dtype: str, shape: tuple[int, ...] | None, key: str = "part") -> Tensor:
    """The part that `key` names, of this dtype and shape; None: any length."""
    name = fields.text(key)
    part = parts.get(name)
    if part is None or part.dtype != dtype or (part.shape != shape if shape else len(part.shape) != 1):
        found = None if part is None else (part.dtype, part.shape)
        raise CorruptContainer(f"part {name}", found=found, expected=f"{dtype} of shape {shape or '(any)'}")
    return part


def _wide_enough(d: int, n: int) -> None:
    if d > n:
        raise CorruptContainer("columns of a made tensor", found=n, expected=f"{d} or more")


def _triangle(part: Words, d: int, n: int) -> bytes:
    _wide_enough(d, n)
    matrix = np.zeros((d, n), part.dtype)
    at = 0
    for i in range(d):
        matrix[i, : i + 1] = part[at : at + i + 1]
        at += i + 1
    return matrix.tobytes()


def _polar(part: Floats, rank: int, d: int, n: int, dtype: str) -> bytes:
    _wide_enough(d, n)
    v = np.zeros((d, rank))
    at = 0
    for i in range(d):
        length = min(i + 1, rank)
        v[i, :length] = part[at : at + length]
        at += length
    if not _adds_exactly(v):
        raise CorruptContainer("polar factor", found="other numbers", expected="multiples of 2^-26 in short rows")
    matrix = np.zeros((d, n))
    for i in range(d):
        for j in range(d):
            total = 0.0
            for x, y in zip(v[i], v[j], strict=True):
                total += float(x) * float(y)
            matrix[i, j] = (i == j) - total
    return as_dtype(matrix, dtype)


def _adds_exactly(v: Floats) -> bool:
    """Whether sums of products of rows are the same in any order."""
    for row in v.tolist():
        if any(not abs(x) < 2 or (x * 2**26) % 1 for x in row) or sum(x * x for x in row) > MAX_SQUARE:
            return False
    return True


def _pivots(fields: Fields, entry: Entry, parts: Parts) -> bytes:
    axis = fields.number("axis", 0, 1)
    d, n = entry.shape if axis else entry.shape[::-1]
    _wide_enough(d, n)
    rest = part_of(fields, parts, entry.dtype, (d, n - d) if axis else (n - d, d)).words()
    pivots = part_of(fields, parts, "U32", (d,), "pivots").words().tolist()
    if pivots != sorted(set(pivots)) or any(column >= n for column in pivots):
        raise CorruptContainer("pivots", found=repr(pivots)[:80], expected=f"ascending, below {n}")
    others = [column for column in range(n) if column not in set(pivots)]
    one = np.frombuffer(as_dtype(np.ones(1), entry.dtype), rest.dtype)[0]
    matrix = np.zeros((d, n), rest.dtype)
    matrix[range(d), pivots] = one
    if axis:
        matrix[:, others] = rest.reshape(d, n - d)
        return matrix.tobytes()
    matrix[:, others] = rest.reshape(n - d, d).T
    return matrix.T.tobytes()
