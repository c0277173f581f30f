"""Types of arguments that several commands take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any


def count(text: str) -> int:
    """A whole number of at least 1."""
    number = count_or_zero(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def count_or_zero(text: str) -> int:
    """A whole number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def assignment(text: str) -> tuple[str, Any]:
    """NAME=VALUE; the value is JSON, or text where it is none."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def number_below(limit: float) -> Callable[[str], float]:
    """The type of numbers from 0 to less than `limit`."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not 0 <= value < limit:
            raise argparse.ArgumentTypeError(f"must be at least 0 and below {limit:g}")
        return value

    return number
