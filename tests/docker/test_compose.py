"""The compose file: valid, without secrets, hardened, and started in the right order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from images import COMPOSE, ROOT, VariableMissing, rendered_compose

from freebits_service.settings import Settings

BIN = Path(sys.executable).parent
ONE_SHOT = {"bucket", "migrate"}


def test_it_follows_the_compose_specification() -> None:
    """Checked against the specification's own schema."""
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_secret_comes_from_outside(secrets: dict[str, str]) -> None:
    """Without `.env` nothing starts; the example has the same names and no values."""
    for name in secrets:
        with pytest.raises(VariableMissing, match=name):
            rendered_compose({key: value for key, value in secrets.items() if key != name})
    lines = (ROOT / "docker" / "example.env").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {name for name, value in example.items() if not value} == set(secrets)


def test_who_gets_which_secret(compose: dict[str, Any], secrets: dict[str, str]) -> None:
    """Each service gets only what it needs."""
    found = {
        name: {key for key, secret in secrets.items() if secret in yaml.safe_dump(service)}
        for name, service in compose["services"].items()
    }
    store = {"S3_ACCESS_KEY", "S3_SECRET_KEY"}
    hub = {"POSTGRES_PASSWORD", *store}
    assert found == {
        "database": {"POSTGRES_PASSWORD"},
        "store": store,
        "bucket": hub,
        "migrate": hub,
        "api": {*hub, "FREEBITS_ADMIN_TOKEN"},
        "worker": hub,
        "worker-gpu": hub,
        "proxy": set(),
        "prometheus": set(),
        "grafana": {"GRAFANA_PASSWORD"},
    }


def test_every_service_is_hardened_and_bounded(compose: dict[str, Any]) -> None:
    """Read-only, without privileges, images pinned, with limits where it runs for long."""
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        tag = service["image"].rpartition(":")[2]
        assert service["image"].startswith("freebits-") or tag[:1].isdigit() or tag[:1] == "v", name
        if name not in ONE_SHOT:
            assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
            assert service["restart"] == "unless-stopped", name
        assert name in {*ONE_SHOT, "api", "worker", "worker-gpu", "proxy"} or service["healthcheck"], name


def test_the_order_of_the_start(compose: dict[str, Any]) -> None:
    """Database, then tables; store, then bucket; then replicas and workers; then the proxy."""
    waits = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in compose["services"].items()
    }
    prepared = dict.fromkeys(("migrate", "bucket"), "service_completed_successfully")
    assert waits["migrate"] == {"database": "service_healthy"}
    assert waits["bucket"] == {"store": "service_healthy"}
    assert waits["api"] == waits["worker"] == waits["worker-gpu"] == prepared
    assert waits["proxy"] == {"api": "service_healthy"}


def test_database_and_metrics_are_not_published(compose: dict[str, Any]) -> None:
    """Only the proxy, the store (direct transfers) and Grafana (on this machine) have ports outside."""
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"proxy", "store", "grafana"}
    assert published["grafana"] == ["127.0.0.1:3000:3000"]
    assert compose["networks"]["inside"]["internal"]


def test_every_variable_is_a_setting(compose: dict[str, Any], manifests: list[dict[str, Any]]) -> None:
    """A typing error in a variable's name would be silent at run time."""
    names = {key for service in compose["services"].values() for key in service.get("environment", {})}
    names |= {key for each in manifests if each["kind"] == "ConfigMap" for key in each["data"]}
    ours = {name for name in names if name.startswith("FREEBITS_")} - {"FREEBITS_SITE"}
    assert {name.removeprefix("FREEBITS_").lower() for name in ours} <= set(Settings.model_fields)


def test_containers_are_given_longer_than_they_take(compose: dict[str, Any]) -> None:
    """The engine's SIGKILL comes after the delay and the grace of our own shutdown."""
    api = compose["services"]["api"]
    ours = api["environment"]["FREEBITS_SHUTDOWN_DELAY_S"] + api["environment"]["FREEBITS_SHUTDOWN_GRACE_S"]
    assert int(api["stop_grace_period"].removesuffix("s")) > ours + 15
