"""The linear algebra of symmetric forms, in float64, on numpy or on torch (CPU or GPU).

What is decoded must not depend on which of them did it: libraries, thread counts and devices agree to about 1e-13 of
what they compute, and the methods are made so that this does not show (guard bands, exact sums, digests).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from freebits_codecs.errors import MissingLibrary
from freebits_codecs.symmetry.floats import Array

if TYPE_CHECKING:
    import torch


class Algebra(Protocol):
    """Dense float64 linear algebra on numpy arrays."""

    name: str

    def product(self, left: Array, right: Array) -> Array:
        """`left @ right`."""
        ...

    def gram(self, blocks: Iterable[Array]) -> Array:
        """The sum of `block.T @ block`, (d, d), of blocks of shape (any, d)."""
        ...

    def eigh(self, symmetric: Array) -> tuple[Array, Array]:
        """Eigenvalues (d) descending, eigenvectors (d, d) as columns in that order."""
        ...

    def svd(self, matrix: Array) -> tuple[Array, Array, Array]:
        """U (m, k), singular values (k) descending, V^T (k, n) with k = min(m, n)."""
        ...

    def qr(self, matrix: Array) -> tuple[Array, Array]:
        """Orthogonal Q (m, m) and upper triangular R (m, n)."""
        ...


class NumpyAlgebra:
    """numpy with the BLAS and LAPACK it was built with."""

    name = "numpy"

    def product(self, left: Array, right: Array) -> Array:
        product: Array = left @ right
        return product

    def gram(self, blocks: Iterable[Array]) -> Array:
        return _sum(block.T @ block for block in blocks)

    def eigh(self, symmetric: Array) -> tuple[Array, Array]:
        values, vectors = np.linalg.eigh(symmetric)
        return values[::-1].copy(), vectors[:, ::-1].copy()

    def svd(self, matrix: Array) -> tuple[Array, Array, Array]:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        return left, values, right

    def qr(self, matrix: Array) -> tuple[Array, Array]:
        q, r = np.linalg.qr(matrix, mode="complete")
        return q, r


class TorchAlgebra:
    """torch on a device, "cpu" or "cuda"; arrays are moved there and back."""

    def __init__(self, device: str = "cpu") -> None:
        if importlib.util.find_spec("torch") is None:
            raise MissingLibrary("torch", f"linear algebra on {device}", "symmetry")
        import torch  # noqa: PLC0415 - only who asks for torch pays for it

        self.name = f"torch {device}"
        self._torch, self._device = torch, torch.device(device)

    def product(self, left: Array, right: Array) -> Array:
        return self._back(self._there(left) @ self._there(right))

    def gram(self, blocks: Iterable[Array]) -> Array:
        moved = (self._there(block) for block in blocks)
        return _sum(self._back(block.T @ block) for block in moved)

    def eigh(self, symmetric: Array) -> tuple[Array, Array]:
        values, vectors = self._torch.linalg.eigh(self._there(symmetric))
        return self._back(values.flip(0)), self._back(vectors.flip(1))

    def svd(self, matrix: Array) -> tuple[Array, Array, Array]:
        left, values, right = self._torch.linalg.svd(self._there(matrix), full_matrices=False)
        return self._back(left), self._back(values), self._back(right)

    def qr(self, matrix: Array) -> tuple[Array, Array]:
        q, r = self._torch.linalg.qr(self._there(matrix), mode="complete")
        return self._back(q), self._back(r)

    def _there(self, array: Array) -> torch.Tensor:
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _back(self, tensor: torch.Tensor) -> Array:
        array: Array = tensor.cpu().numpy()
        return array


def open_algebra(device: str | None = None) -> Algebra:
    """numpy, or torch on `device` ("cpu", "cuda", "cuda:1"). Raises MissingLibrary."""
    return NumpyAlgebra() if device is None else TorchAlgebra(device)


def _sum(parts: Iterable[Array]) -> Array:
    total: Array | None = None
    for part in parts:
        if total is None:
            total = part
        else:
            total += part
    if total is None:
        raise ValueError("no blocks, expected at least one")
    return total
