"""What all domain errors have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ServiceError(Exception):
    """Something a caller can act on: a stable `code`, a sentence, and the facts behind it in `detail`."""

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **detail: Any) -> None:
        self.message = message
        self.detail: Mapping[str, Any] = detail
        super().__init__(message)
