"""Alerts and dashboard ask only for what a real hub tells."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import yaml
from images import ROOT

BIN = Path(sys.executable).parent
PROMETHEUS = ROOT / "docker" / "prometheus"
DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "freebits.json"
NAME = re.compile(r"\bfreebits_\w+")


def free_port() -> int:
    """A port nobody listens on now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """The metrics of a hub and its worker, by name."""
    port, worker_port = free_port(), free_port()
    command = [sys.executable, "-m", "freebits_service", "--port", str(port), "--metrics-port", str(worker_port)]
    environment = {**os.environ, "FREEBITS_DATA": str(tmp_path_factory.mktemp("hub"))}
    hub = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield {
            line.split()[2]
            for text in (_read(f"http://127.0.0.1:{port}/metrics"), _read(f"http://127.0.0.1:{worker_port}/metrics"))
            for line in text.splitlines()
            if line.startswith("# TYPE")
        }
    finally:
        hub.terminate()
        hub.wait(60)


def _read(url: str) -> str:
    deadline = time.monotonic() + 120
    while True:
        with suppress(OSError), urllib.request.urlopen(url, timeout=30) as reply:
            return str(reply.read().decode())
        assert time.monotonic() < deadline, url
        time.sleep(0.2)


def _family(name: str, told: set[str]) -> str:
    """The name without what a histogram adds."""
    return name if name in told else re.sub(r"_(bucket|sum|count)$", "", name)


def test_every_panel_asks_for_a_metric_that_exists(told: set[str]) -> None:
    """A renamed metric would leave a panel empty, which looks like a healthy hub."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(expressions) > 20
    asked = {_family(name, told) for expression in expressions for name in NAME.findall(expression)}
    assert asked <= told, asked - told


def test_every_alert_asks_for_a_metric_that_exists(told: set[str]) -> None:
    """An alert on a metric that is not there never fires."""
    rules = [
        rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]
    asked = {_family(name, told) for rule in rules for name in NAME.findall(rule["expr"])}
    assert asked <= told, asked - told


def test_panels_do_not_overlap() -> None:
    """Each has its place and a description."""
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        where = panel["gridPos"]
        cells = {(where["x"] + dx, where["y"] + dy) for dx in range(where["w"]) for dy in range(where["h"])}
        assert not cells & taken, panel["title"]
        assert where["x"] + where["w"] <= 24, panel["title"]
        assert panel["description"], panel["title"]
        taken |= cells


def test_each_alert_has_a_runbook_and_a_test() -> None:
    """The page says what to do under the alert's own name; promtool's tests make it fire."""
    rules = [
        rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]
    page = (ROOT / "docs" / "production.md").read_text()
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    fires = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each.get("exp_alerts")}
    for rule in rules:
        assert f"### {rule['alert']}" in page, rule["alert"]
        assert rule["alert"] in fires


@pytest.mark.skipif(not shutil.which("promtool", path=f"{BIN}{os.pathsep}{os.environ['PATH']}"), reason="no promtool")
def test_promtool_agrees() -> None:
    """The configuration is one that Prometheus takes, and every alert fires when it shall and only then."""
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    for command in (("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")):
        done = subprocess.run(
            ["promtool", *command], cwd=PROMETHEUS, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
