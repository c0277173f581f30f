"""The methods that the hub knows, and their parameters."""

from __future__ import annotations

import pytest

from freebits_codecs.symmetry import METHODS as CODEC_METHODS
from freebits_service.errors import InvalidRequest
from freebits_service.variants.methods import METHODS, checked_parameters


def test_the_hub_names_the_methods_of_the_codecs() -> None:
    """It validates before it imports them."""
    assert tuple(METHODS) == CODEC_METHODS


def test_parameters_are_checked_and_completed() -> None:
    """What is left out has its default, so that asking with it and without is the same."""
    assert checked_parameters("bits-back", {}) == checked_parameters("bits-back", {"prior": "entropy"})
    assert checked_parameters("gauge-polar", {"token_ids": [1, 2]}) == {"token_ids": [1, 2]}
    assert checked_parameters("lora-gauge", {}) == {"max_error": 1.0}
    for method, parameters in (
        ("bits-back", {"prior": "none"}),
        ("gauge-polar", {"prior": "entropy"}),
        ("gauge-polar", {"token_ids": []}),
        ("gauge-polar", {"token_ids": [-1]}),
        ("gauge-polar", {"token_ids": [1] * 5000}),
        ("lora-gauge", {"max_error": 0}),
        ("nope", {}),
    ):
        with pytest.raises(InvalidRequest):
            checked_parameters(method, parameters)
