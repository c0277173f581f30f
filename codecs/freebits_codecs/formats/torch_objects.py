"""The tensors inside an unpickled torch checkpoint: names, views, storages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeGuard

from freebits_codecs.dtype import DTYPES
from freebits_codecs.formats.layout import MAX_NAME_LENGTH, MAX_RANK, Budget
from freebits_codecs.formats.pickle_machine import Call, Global, Pairs, PersistentId

MAX_DEPTH = 128
"""Containers inside containers; what lies deeper is not looked for."""

_ELEMENTS = {  # torch dtype: (dtype, how many of them make one element)
    "float32": ("F32", 1), "float64": ("F64", 1), "float16": ("F16", 1), "bfloat16": ("BF16", 1),
    "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1), "float8_e4m3fnuz": ("U8", 1),
    "float8_e5m2fnuz": ("U8", 1), "float8_e8m0fnu": ("U8", 1), "float4_e2m1fn_x2": ("U8", 1),
    "int8": ("I8", 1), "int16": ("I16", 1), "int32": ("I32", 1), "int64": ("I64", 1),
    "uint8": ("U8", 1), "uint16": ("U16", 1), "uint32": ("U32", 1), "uint64": ("U64", 1), "bool": ("BOOL", 1),
    "complex32": ("F16", 2), "complex64": ("F32", 2), "complex128": ("F64", 2),
    "qint8": ("I8", 1), "quint8": ("U8", 1), "qint32": ("I32", 1),
}  # fmt: skip
_STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage":
    "bfloat16", "CharStorage": "int8", "ShortStorage": "int16", "IntStorage": "int32", "LongStorage":
    "int64", "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "QInt8Storage": "qint8", "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
}  # fmt: skip
_REBUILD_VIEW = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"}
_REBUILD_PARAMETER = {"_rebuild_parameter", "_rebuild_parameter_with_state"}
_MODULE_TABLES = {"_parameters", "_buffers", "_modules"}
"""Where a pickled module keeps its tensors; left out of names, so that they are those of its state_dict."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements outside the pickle, `lanes` of them for each of torch's (2 for complex numbers).

    `dtype` is None where only the views know it; then `numel` counts bytes.
    """

    key: str
    dtype: str | None
    numel: int
    lanes: int

    @property
    def nbytes(self) -> int:
        return self.numel * (DTYPES[self.dtype].itemsize if self.dtype else 1)


@dataclass(frozen=True, slots=True)
class View:
    """A tensor as torch sees it: `shape` and `strides` in elements of `dtype`, from `offset` of a storage."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements are one run in C order."""
        expected = 1
        for dim, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if dim != 1 and stride != expected:
                return 0 in self.shape
            expected *= dim
        return True


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that a checkpoint's pickle says. Keys of the dicts are those of the storages."""

    views: list[tuple[str, View]] = field(default_factory=list)
    storages: dict[str, Storage] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)


def take_inventory(root: object, budget: Budget) -> Inventory:
    """Views in pickled order; an untyped storage has the dtype of the first view of it."""
    inventory = Inventory()
    for name, leaf in tensors_of(root, budget):
        storage, dtype = (leaf.storage, leaf.dtype) if isinstance(leaf, View) else (leaf, "U8")
        inventory.storages.setdefault(storage.key, storage)
        inventory.dtypes.setdefault(storage.key, storage.dtype or dtype)
        if isinstance(leaf, View):
            inventory.views.append((name, leaf))
    return inventory


def tensors_of(root: object, budget: Budget) -> Iterator[tuple[str, View | Storage]]:
    """Every tensor below `root` with its dotted name, in pickled order; bare storages too.

    A tensor that hangs in several places comes once per name; containers are entered once, so cycles end.
    """
    seen: set[int] = set()
    pending = [iter([("", root)])]
    while pending:
        name, value = next(pending[-1], (None, None))
        if name is None:
            pending.pop()
            continue
        budget.step()
        leaf = _leaf(value)
        if leaf is not None:
            yield name, leaf
        elif isinstance(value, list | tuple | Call) and id(value) not in seen and len(pending) < MAX_DEPTH:
            seen.add(id(value))
            pending.append(_children(name, value))


def _children(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Call):
        yield from ((name, part) for part in (value.args, value.items, value.state) if part)
        return
    pairs = value if isinstance(value, Pairs) else enumerate(value)  # type: ignore[arg-type]
    for key, child in pairs:
        if isinstance(key, str | int) and len(name) + len(str(key)) < MAX_NAME_LENGTH:
            yield _join(name, str(key)), child


def _join(name: str, key: str) -> str:
    if key in _MODULE_TABLES:
        return name
    return f"{name}.{key}" if name else key


def _leaf(value: object) -> View | Storage | None:
    """The tensor or storage that `value` stands for; None for everything else."""
    if isinstance(value, PersistentId):
        return _storage(value)
    if not isinstance(value, Call) or not isinstance(value.callee, Global) or not isinstance(value.args, tuple):
        return None
    function, args = value.callee.name, value.args
    if function == "_rebuild_from_type_v2" and len(args) >= 3:
        return _leaf_of_call(args[0], args[2])
    return _leaf_of_call(value.callee, args)


def _leaf_of_call(callee: object, args: object) -> View | Storage | None:
    if not isinstance(callee, Global) or not isinstance(args, tuple) or not args:
        return None
    if callee.name in _REBUILD_PARAMETER and isinstance(args[0], Call):
        callee, args = args[0].callee, args[0].args
    if isinstance(callee, Global) and callee.name in _REBUILD_VIEW and isinstance(args, tuple):
        return _view(args)
    return None


def _storage(reference: PersistentId) -> Storage | None:
    """('storage', class, key, location, numel): what torch keeps outside the pickle."""
    fields = reference.value
    if not isinstance(fields, tuple) or len(fields) < 5:
        return None
    kind, key, numel = fields[1], fields[2], fields[4]
    if not isinstance(kind, Global) or not isinstance(key, str) or type(numel) is not int or numel < 0:
        return None
    if kind.name == "UntypedStorage":
        return Storage(key, None, numel, 1)
    if kind.name not in _STORAGES:
        return None
    dtype, lanes = _ELEMENTS[_STORAGES[kind.name]]
    return Storage(key, dtype, numel * lanes, lanes)


def _view(args: tuple[object, ...]) -> View | None:
    """(storage, offset, size, stride, ...), and for version 3 the dtype at index 6."""
    if len(args) < 4 or not isinstance(args[0], PersistentId):
        return None
    storage, offset, shape, strides = _storage(args[0]), args[1], args[2], args[3]
    if storage is None or type(offset) is not int or offset < 0:
        return None
    if not _is_shape(shape) or not _is_shape(strides) or len(shape) != len(strides):
        return None
    dtype, lanes = storage.dtype or "U8", storage.lanes
    if len(args) > 6 and isinstance(args[6], Global):
        dtype, lanes = _ELEMENTS.get(args[6].name, ("U8", 1))
    if lanes > 1:
        offset, shape, strides = offset * lanes, (*shape, lanes), (*(stride * lanes for stride in strides), 1)
    return View(storage, dtype, offset, shape, strides)


def _is_shape(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and len(value) < MAX_RANK and all(type(item) is int for item in value)
