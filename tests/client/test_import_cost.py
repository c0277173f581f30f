"""`import freebits` is cheap, and so is a command that needs no hub."""

from __future__ import annotations

import subprocess
import sys

import freebits

HEAVY = {"httpx", "numpy", "torch", "tqdm", "fastapi", "sqlalchemy", "freebits_service"}


def loaded_by(code: str) -> set[str]:
    """Which heavy modules are loaded after `code` ran in a fresh interpreter."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return HEAVY & set(result.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Names are resolved when they are used."""
    assert loaded_by("import freebits") == set()
    assert loaded_by("import freebits; freebits.errors.FreebitsError") == set()


def test_the_hub_needs_no_numpy_and_never_the_service() -> None:
    """Pushing raw or pulling plain files works without loading the codecs."""
    assert loaded_by("import freebits; freebits.Hub") <= {"httpx"}


def test_the_command_line_starts_without_httpx() -> None:
    """encode and friends do not wait for it."""
    assert loaded_by("from freebits.cli.arguments import build_parser; build_parser()") == set()


def test_every_public_name_resolves() -> None:
    """__all__ and the lazy table agree."""
    assert all(getattr(freebits, name) is not None for name in freebits.__all__)
    assert set(freebits.__all__) <= set(dir(freebits))
