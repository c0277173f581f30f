"""The methods that variants are made by, and the parameters that each takes. Pure.

The names are those of the codecs, which are imported only where variants are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from ..errors import InvalidRequest
from ..schemas import Request


class NoParameters(Request):
    """A method that has nothing to choose."""


class BitsBackParameters(Request):
    """`prior` is what the hidden values are coded under: measured, or 16 bits per float as in the paper's estimate."""

    prior: Literal["entropy", "words"] = "entropy"


METHODS: Mapping[str, type[Request]] = {
    "bits-back": BitsBackParameters,
    "gauge-polar": NoParameters,
    "gauge-triangular": NoParameters,
    "lora-gauge": NoParameters,
}


def checked_parameters(method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a method, its defaults among them; raises InvalidRequest."""
    known = METHODS.get(method)
    if known is None:
        names = ", ".join(METHODS)
        raise InvalidRequest(f"there is no method {method!r}; choose one of {names}", method=method)
    try:
        return known.model_validate(parameters).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise InvalidRequest(f"parameter {where!r} of {method!r}: {first['msg']}", method=method) from None
