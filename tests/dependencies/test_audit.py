"""The audit refuses what it should; what is installed passes it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """The script beside this file."""
    spec = importlib.util.spec_from_file_location("audit", Path(__file__).with_name("audit.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "licence", ["MIT", "MIT OR GPL-3.0-only", "BSD-3-Clause AND MIT", "Apache Software License; BSD License"]
)
def test_permissive_licences_pass(audit: ModuleType, licence: str) -> None:
    """Alone, as one choice of several, or all of several."""
    assert audit.is_allowed(licence)


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "AGPL-3.0", "MIT AND CC-BY-NC-4.0", "UNKNOWN", "MIT License; GNU GPL v3"]
)
def test_other_licences_are_refused(audit: ModuleType, licence: str) -> None:
    """One part that is not allowed refuses the whole."""
    assert not audit.is_allowed(licence)


def test_all_installed_dependencies_have_an_allowed_licence(audit: ModuleType) -> None:
    """The closure of the service is looked at whole, the extras of its parts included."""
    packages = audit.installed_closure("freebits", audit.EXTRAS)
    assert {"starlette", "uvloop", "psycopg-binary", "botocore"} <= packages.keys()
    assert audit.refused_licences(packages) == []
