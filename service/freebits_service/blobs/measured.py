"""Count and time the calls to a store, whichever it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Self, cast

from ..metrics import STORE_ERRORS, STORE_SECONDS
from .store import BlobStore, ObjectNotFound

_READER = {"read_at": "read"}
_WRITER = {"write": "write", "finish": "finish_part"}
# Method -> name of the operation. What is not here passes unmeasured: listings take as long as their reader, and
# questions that only look at the settings take no time.
_STORE = {
    name: name
    for name in ("begin", "open", "staged_parts", "finish", "join", "reopen", "abort", "stat", "delete", "check")
}
_OPENED: Mapping[str, Mapping[str, str]] = {"open": _READER, "write_part": _WRITER}


def measured(store: BlobStore) -> BlobStore:
    """The same store, its calls in ``freebits_store_seconds`` and ``freebits_store_errors``."""
    return cast(BlobStore, _Measured(store, _STORE))


class _Measured:
    """Passes everything on to `inner`; a wrapped method is made once and then found like any attribute."""

    def __init__(self, inner: Any, operations: Mapping[str, str]) -> None:
        self._inner = inner
        self._operations = operations

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name in self._operations or name in _OPENED:
            found = _timed(found, self._operations.get(name), _OPENED.get(name))
            self.__dict__[name] = found
        return found

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._inner.__exit__(*error)


def _timed(method: Callable[..., Any], operation: str | None, opened: Mapping[str, str] | None) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            answer = method(*arguments, **options)
        except ObjectNotFound:  # an answer like any other
            raise
        except Exception as error:
            STORE_ERRORS.labels(operation or method.__name__, type(error).__name__).inc()
            raise
        if operation is not None:
            STORE_SECONDS.labels(operation).observe(time.perf_counter() - begun)
        return answer if opened is None else _Measured(answer, opened)

    return call
