"""The methods that variants are made by, and the parameters that each takes. Pure.

The names are those of the codecs, which are imported only where variants are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from ..errors import InvalidRequest
from ..schemas import Request

MAX_TOKEN_ID = (1 << 31) - 1


class SlicedParameters(Request):
    """Methods for sliced models. `token_ids` are what the report compares logits on; a few of its own without."""

    token_ids: list[Annotated[int, Field(ge=0, le=MAX_TOKEN_ID)]] | None = Field(None, min_length=1, max_length=4096)


class BitsBackParameters(SlicedParameters):
    """`prior` is what the hidden values are coded under: measured, or 16 bits per float as in the paper's estimate."""

    prior: Literal["entropy", "words"] = "entropy"


class LoraParameters(Request):
    """`max_error`: how much a pair's rounding may add, over what storing the adapter already did to it."""

    max_error: float = Field(1.0, gt=0, le=100)


METHODS: Mapping[str, type[Request]] = {
    "bits-back": BitsBackParameters,
    "gauge-polar": SlicedParameters,
    "gauge-triangular": SlicedParameters,
    "lora-gauge": LoraParameters,
}


def checked_parameters(method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a method, its defaults among them; raises InvalidRequest."""
    known = METHODS.get(method)
    if known is None:
        names = ", ".join(METHODS)
        raise InvalidRequest(f"there is no method {method!r}; choose one of {names}", method=method)
    try:
        return known.model_validate(parameters).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise InvalidRequest(f"parameter {where!r} of {method!r}: {first['msg']}", method=method) from None
