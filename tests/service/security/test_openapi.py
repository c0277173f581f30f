"""Whatever request the OpenAPI document allows, and many that it forbids: the hub never answers with a 5xx."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.schemas import BaseSchema

from freebits_service.app import create_app
from freebits_service.context import Hub

EXAMPLES = int(os.environ.get("FREEBITS_TEST_EXAMPLES", "40"))
ADMIN_TOKEN = "admin-token-of-the-tests"
KNOWN = {"namespace": "admin", "name": "model", "revision": "main", "path": "weights.bin", "ref": "main"}
UNIMPLEMENTED = 501  # a feature that is switched off says so; it is no failure


@pytest.fixture
def described_hub(hub: Hub, client: Any) -> BaseSchema:
    """The document of a hub that holds a repo with a file, so that requests get behind the first 404."""
    client.new_repo()
    client.push("admin/model", {KNOWN["path"]: bytes(range(256)) * 300, "config.json": b"{}"})
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", create_app(hub.settings, hub))
    schema.hook("map_path_parameters")(_mostly_known)
    return schema


def _mostly_known(_context: object, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Most of the generated names become the ones that exist; which do depends on what was generated."""
    if not parameters:
        return parameters
    return {name: KNOWN[name] if name in KNOWN and len(str(value)) % 4 else value for name, value in parameters.items()}


@pytest.mark.parametrize(
    ("engine_name", "mode"),
    [
        ("sqlite", GenerationMode.POSITIVE),
        ("postgres", GenerationMode.NEGATIVE),  # which refuses values that SQLite takes
        pytest.param("postgres", GenerationMode.POSITIVE, marks=pytest.mark.slow),
        pytest.param("sqlite", GenerationMode.NEGATIVE, marks=pytest.mark.slow),
    ],
    indirect=["engine_name"],
)
def test_no_request_makes_the_hub_fail(described_hub: BaseSchema, mode: GenerationMode) -> None:
    """As the admin, who gets furthest: no 5xx from any operation, and every error has the body that callers rely on."""
    tried = []
    for result in described_hub.get_all_operations():
        operation = result.ok()
        tried.append(operation.label)

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy(generation_mode=mode))
        def no_failure(case: Case) -> None:
            response = case.call(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
            status = response.status_code
            assert status < 500 or status == UNIMPLEMENTED, (
                f"{status}: {case.as_curl_command()}\n{response.text[:2000]}"
            )
            if status >= 400 and case.method != "HEAD":
                assert set(response.json()) == {"code", "message", "detail", "request_id"}, case.as_curl_command()

        with suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
            no_failure()
    assert len(tried) > 20, tried
