"""The deployment files as data."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from images import ROOT, Stage, rendered_compose, stages

SECRETS = {
    "POSTGRES_PASSWORD": "database-secret",
    "S3_ACCESS_KEY": "store-key",
    "S3_SECRET_KEY": "store-secret",
    "FREEBITS_ADMIN_TOKEN": "admin-secret",
    "GRAFANA_PASSWORD": "grafana-secret",
}


@pytest.fixture(scope="session")
def secrets() -> dict[str, str]:
    """Values for what the compose file wants from `.env`."""
    return SECRETS


@pytest.fixture(scope="session")
def dockerfile() -> dict[str, Stage]:
    """The stages of the Dockerfile."""
    return stages()


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """The compose file as the engine sees it."""
    return rendered_compose(SECRETS)


@pytest.fixture(scope="session")
def manifests() -> list[dict[str, Any]]:
    """All objects that the kustomization names."""
    folder = ROOT / "docker" / "kubernetes"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert {*names, "kustomization.yaml"} == {path.name for path in folder.glob("*.yaml")}
    return [each for name in names for each in yaml.safe_load_all((folder / name).read_text())]
