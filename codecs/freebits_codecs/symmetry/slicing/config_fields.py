"""Typed access to the settings of a config.json that may say anything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freebits_codecs.symmetry.slicing.errors import UnsupportedModel, UnusableCheckpoint

MAX_SIZE = 1 << 31
"""Larger sizes are not believed."""


class ConfigFields:
    """Settings by name. Every getter raises UnusableCheckpoint for a value of another type; null counts as absent."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values, self._where = values, where

    def has(self, name: str) -> bool:
        """Whether the setting is there and not null."""
        return self._values.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """All settings."""
        return tuple(self._values)

    def size(self, name: str, default: int | None = None) -> int:
        """A positive integer; without a default it must be there."""
        value = self._values[name] if self.has(name) else default
        if type(value) is not int or not 0 < value < MAX_SIZE:
            raise self._odd(name, "a positive integer")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A positive finite number; without a default it must be there."""
        value = self._values[name] if self.has(name) else default
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            raise self._odd(name, "a positive number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._values[name] if self.has(name) else default
        if type(value) is not bool:
            raise self._odd(name, "true or false")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        value = self._values[name] if self.has(name) else default
        if type(value) is not str:
            raise self._odd(name, "a string")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """One integer or a list of them; none when absent."""
        value = self._values[name] if self.has(name) else []
        listed = value if isinstance(value, list) else [value]
        if not all(type(item) is int for item in listed):
            raise self._odd(name, "an integer or a list of them")
        return tuple(listed)

    def group(self, name: str) -> ConfigFields:
        """A nested object; empty when absent."""
        value = self._values[name] if self.has(name) else {}
        if not isinstance(value, dict):
            raise self._odd(name, "an object")
        return ConfigFields(value, f"{self._where}: {name}")

    def require(self, name: str, expected: bool, default: bool) -> None:
        """Raise UnsupportedModel unless the flag has the one value that is implemented."""
        found = self.flag(name, default)
        if found is not expected:
            raise UnsupportedModel(name, found=found, expected=str(expected).lower())

    def _odd(self, name: str, expected: str) -> UnusableCheckpoint:
        found = repr(self._values.get(name))[:80] if name in self._values else "nothing"
        return UnusableCheckpoint(f"{self._where}: {name}", found=found, expected=expected)


def read_fields(path: Path) -> ConfigFields:
    """The settings in a JSON file. Raises OSError, UnusableCheckpoint."""
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UnusableCheckpoint(str(path), found=str(error), expected="JSON") from None
    if not isinstance(values, dict):
        raise UnusableCheckpoint(str(path), found=type(values).__name__, expected="a JSON object")
    return ConfigFields(values, str(path))
