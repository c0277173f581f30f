"""(11.3, 11.4) Tensors hidden on a bit stack: the steps of the encoder, backwards."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from freebits_codecs.errors import CorruptContainer
from freebits_codecs.reference.bit_stack import BitStack
from freebits_codecs.reference.form import Entry, Fields, Floats, Tensor, as_dtype
from freebits_codecs.reference.made import MAX_ROWS, Parts, part_of

MANTISSA_NBITS = {"F16": 10, "BF16": 7, "F32": 23}
SPARE_NBITS = 4
MAX_REACH = 1023
MAX_EIGENVALUE = 2.0**128
WEIGHT_SUM = 1 << 16


class Prior(Protocol):
    """(11.4) How hidden tensors and the entries of M lie on the stack."""

    def pop_tensor(self, step: Fields, entry: Entry) -> bytes:
        """The bytes of a hidden tensor."""
        ...

    def ordinals(self, estimate: Floats, dtype: str) -> list[int]:
        """The nearest ordinals."""
        ...

    def push_ordinals(self, ordinals: list[int], dtype: str) -> None:
        """Entries of M."""
        ...

    def is_empty(self) -> bool:
        """Whether the stack is as the encoder began it."""
        ...


def unwind_stack(fields: Fields, head: dict[str, Entry], kept: dict[str, Tensor], parts: Parts) -> dict[str, bytes]:
    """The hidden tensors, by name."""
    prior = _prior(fields, parts)
    hidden: dict[str, bytes] = {}
    anchors: set[str] = set()
    for value in reversed(fields.items("steps")):
        step = Fields(value, "step")
        if "push" not in step:
            _return_matrix(step, kept, parts, prior, anchors)
            continue
        name = step.text("push")
        if name not in head or name in hidden or name in kept:
            raise CorruptContainer("hidden tensor", found=name, expected="a tensor of the head, once")
        hidden[name] = prior.pop_tensor(step, head[name])
    if not prior.is_empty():
        raise CorruptContainer("bit stack at the end", found="bits", expected="none")
    return hidden


def _prior(fields: Fields, parts: Parts) -> Prior:
    kind, name = fields.text("prior"), fields.text("part")
    if kind == "entropy":
        return Entropy(part_of(fields, parts, "U32", None))
    if kind != "words" or name not in parts:
        raise CorruptContainer("prior and part", found=(kind, name), expected="entropy or words, and a part")
    return WordStack(part_of(fields, parts, "BF16" if parts[name].dtype == "BF16" else "F16", None))


class Entropy:
    def __init__(self, part: Tensor) -> None:
        self._stack = BitStack(part.words().tolist())

    def pop_tensor(self, step: Fields, entry: Entry) -> bytes:
        nbits = 1 + _mantissa_nbits(entry.dtype)
        first, weights = step.number("first", 0, 255), read_weights(step)
        exponents = np.array(self._stack.pop_symbols(entry.numel, weights), np.uint64) + np.uint64(first)
        if first + len(weights) > 1 << 8 * _item_nbytes(entry.dtype) - nbits:
            raise CorruptContainer("exponents", found=first + len(weights), expected="what the dtype can hold")
        values = np.array(self._stack.pop_values(entry.numel, nbits), np.uint64)
        sign, mantissa = values >> np.uint64(nbits - 1), values & np.uint64((1 << nbits - 1) - 1)
        words = sign << np.uint64(8 * _item_nbytes(entry.dtype) - 1) | exponents << np.uint64(nbits - 1) | mantissa
        return bytes(words.astype(f"<u{_item_nbytes(entry.dtype)}").tobytes())

    def ordinals(self, estimate: Floats, dtype: str) -> list[int]:
        return [round(value) for value in estimate.tolist()]

    def push_ordinals(self, ordinals: list[int], dtype: str) -> None:
        nbits = _mantissa_nbits(dtype) + SPARE_NBITS
        values = [ordinal + (1 << nbits - 1) for ordinal in ordinals]
        if any(not 0 <= value < 1 << nbits for value in values):
            raise CorruptContainer("entries of a turn", found="one out of range", expected=f"{nbits} bits")
        self._stack.push_values(values, nbits)

    def is_empty(self) -> bool:
        return self._stack.is_empty


class WordStack:
    """Floats, the top of the stack last."""

    def __init__(self, part: Tensor) -> None:
        self._words = part.words().tolist()[::-1]

    def pop_tensor(self, step: Fields, entry: Entry) -> bytes:
        if entry.dtype not in ("F16", "BF16"):
            raise CorruptContainer("dtype on a stack of words", found=entry.dtype, expected="F16 or BF16")
        popped = [self._words.pop() if self._words else 0 for _ in range(entry.numel)]
        return np.array(popped, "<u2").tobytes()

    def is_empty(self) -> bool:
        return not any(self._words)

    def ordinals(self, estimate: Floats, dtype: str) -> list[int]:
        if dtype == "F32":
            raise CorruptContainer("dtype on a stack of words", found=dtype, expected="F16 or BF16")
        words = np.frombuffer(as_dtype(estimate, dtype), "<u2").tolist()
        return [-1 - (word & 0x7FFF) if word >> 15 else word for word in words]

    def push_ordinals(self, ordinals: list[int], dtype: str) -> None:
        words = [ordinal if ordinal >= 0 else -1 - ordinal | 0x8000 for ordinal in ordinals]
        if any(not -0x8000 <= ordinal < 0x8000 for ordinal in ordinals):
            raise CorruptContainer("entries of a turn", found="one out of range", expected="16 bits")
        self._words += reversed(words)


def _return_matrix(step: Fields, kept: dict[str, Tensor], parts: Parts, prior: Prior, anchors: set[str]) -> None:
    """A turn: push the matrix that the encoder popped. `anchors` are those of the turns before."""
    dtype, d = step.text("dtype"), step.number("size", 1, MAX_ROWS)
    _mantissa_nbits(dtype)
    estimate = _estimate(step, _gram(step, kept, dtype, d, anchors), parts, dtype, d)
    ordinals = prior.ordinals(estimate[np.triu_indices(d)], dtype)
    reach, weights = step.number("reach", 0, MAX_REACH), read_weights(step)
    if len(weights) != 2 * reach + 1:
        raise CorruptContainer("weights of corrections", found=len(weights), expected=2 * reach + 1)
    stack = BitStack(part_of(step, parts, "U32", None, "corrections").words().tolist())
    symbols = stack.pop_symbols(len(ordinals), weights)
    if not stack.is_empty:
        raise CorruptContainer("corrections at the end", found="bits", expected="none")
    ordinals = [ordinal + symbol - reach for ordinal, symbol in zip(ordinals, symbols, strict=True)]
    positions = part_of(step, parts, "U32", None, "positions").words().tolist()
    if positions != sorted(set(positions)) or any(position >= len(ordinals) for position in positions):
        raise CorruptContainer("positions", found=repr(positions)[:80], expected=f"ascending, below {len(ordinals)}")
    exact = part_of(step, parts, "I32", (len(positions),), "ordinals").words().view("<i4").tolist()
    for position, ordinal in zip(positions, exact, strict=True):
        ordinals[position] = ordinal
    prior.push_ordinals(ordinals, dtype)


def _estimate(step: Fields, gram: Floats, parts: Parts, dtype: str, d: int) -> Floats:
    """M, but for rounding: eigenvectors of the anchors, the eigenvalues that were stored."""
    eigenvalues = part_of(step, parts, "F64" if dtype == "F32" else "F32", (d,), "eigenvalues").floats()
    if not (np.abs(eigenvalues) <= MAX_EIGENVALUE).all():
        raise CorruptContainer("eigenvalues", found="others", expected=f"numbers up to {MAX_EIGENVALUE:g}")
    q = np.linalg.eigh(gram).eigenvectors[:, ::-1]
    return np.asarray(q * eigenvalues @ q.T)


def _gram(step: Fields, kept: dict[str, Tensor], dtype: str, d: int, anchors: set[str]) -> Floats:
    """The sum of A^T A over the anchors A, which have d columns."""
    matrices = []
    for pair in step.items("anchors"):
        match pair:
            case [str(name), 0 | 1 as axis] if type(axis) is int and name in kept and name not in anchors:
                anchors.add(name)
                matrices.append(_anchor(kept[name], axis, dtype, d))
            case _:
                raise CorruptContainer("anchor", found=repr(pair)[:80], expected="a kept tensor, once, and an axis")
    if sum(map(len, matrices)) < d:
        raise CorruptContainer("rows of anchors", found=sum(map(len, matrices)), expected=f"{d} or more")
    return np.asarray(sum(matrix.T @ matrix for matrix in matrices))


def _anchor(tensor: Tensor, axis: int, dtype: str, d: int) -> Floats:
    if len(tensor.shape) != 2 or tensor.shape[axis] != d or tensor.dtype != dtype:
        raise CorruptContainer("anchor", found=(tensor.dtype, tensor.shape), expected=f"{dtype}, {d} at axis {axis}")
    matrix = tensor.floats().reshape(tensor.shape)
    if not np.isfinite(matrix).all():
        raise CorruptContainer("anchor", found="NaN or infinity", expected="numbers")
    return matrix if axis else matrix.T


def read_weights(step: Fields) -> list[int]:
    """(11.3) Weights of an alphabet."""
    weights = step.numbers("weights")
    if sum(weights) != WEIGHT_SUM:
        raise CorruptContainer("sum of weights", found=sum(weights), expected=WEIGHT_SUM)
    return weights


def _mantissa_nbits(dtype: str) -> int:
    if dtype not in MANTISSA_NBITS:
        raise CorruptContainer("dtype on a stack", found=dtype, expected="F16, BF16 or F32")
    return MANTISSA_NBITS[dtype]


def _item_nbytes(dtype: str) -> int:
    return 4 if dtype == "F32" else 2
