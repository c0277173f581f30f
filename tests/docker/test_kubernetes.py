"""The Kubernetes manifests: valid, restricted, and consistent with each other and with the images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from images import ROOT, Stage

BIN = Path(sys.executable).parent


def of_kind(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The objects of a kind."""
    return [each for each in manifests if each["kind"] == kind]


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod specifications by the name of what makes them."""
    makers = [*of_kind(manifests, "Deployment"), *of_kind(manifests, "Job")]
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in makers}


def test_they_follow_the_schemas_of_kubernetes() -> None:
    """Strictly: an unknown key is an error. KEDA's kinds are not in the schemas; see below."""
    files = [path for path in (ROOT / "docker/kubernetes").glob("*.yaml") if path.name != "kustomization.yaml"]
    command = [BIN / "kubernetes-validate", "--kubernetes-version", "1.32", "--strict", "--quiet", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pods_are_restricted(manifests: list[dict[str, Any]], dockerfile: dict[str, Stage]) -> None:
    """As the namespace enforces: the image's own user, read-only, no privileges, no token, memory bounded."""
    assert set(pods(manifests)) == {"api", "worker", "migrate"}
    for name, pod in pods(manifests).items():
        security = pod["securityContext"]
        user = dockerfile["runtime"].user
        assert f"{security['runAsUser']}:{security['runAsGroup']}" == user, name
        assert security["runAsNonRoot"], name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"], name
        assert "command" not in container, f"{name} starts what its image starts"


def test_probes_and_the_end(manifests: list[dict[str, Any]]) -> None:
    """Liveness asks only the process; readiness asks what it needs; the kubelet waits longer than we take."""
    (api,) = pods(manifests)["api"]["containers"]
    assert api["livenessProbe"]["httpGet"]["path"] == api["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (config,) = of_kind(manifests, "ConfigMap")
    ours = sum(int(config["data"][f"FREEBITS_SHUTDOWN_{part}_S"]) for part in ("DELAY", "GRACE"))
    assert pods(manifests)["api"]["terminationGracePeriodSeconds"] > ours + 15
    assert pods(manifests)["worker"]["terminationGracePeriodSeconds"] >= 60


def test_selectors_meet_their_pods(manifests: list[dict[str, Any]]) -> None:
    """Service, budget, autoscalers and policies point at things that exist."""
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(manifests, "Deployment")]
    selectors = [each["spec"]["selector"] for each in of_kind(manifests, "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(manifests, "PodDisruptionBudget")]
    policies = of_kind(manifests, "NetworkPolicy")
    selectors += [p["spec"]["podSelector"]["matchLabels"] for p in policies if p["spec"]["podSelector"]]
    assert all(selector in labels for selector in selectors)
    deployments = {each["metadata"]["name"] for each in of_kind(manifests, "Deployment")}
    scaled = [*of_kind(manifests, "HorizontalPodAutoscaler"), *of_kind(manifests, "ScaledObject")]
    assert {each["spec"]["scaleTargetRef"]["name"] for each in scaled} == deployments
    for each in of_kind(manifests, "Deployment"):
        assert "replicas" not in each["spec"], "the autoscaler owns it"


def test_the_queue_scaler(manifests: list[dict[str, Any]]) -> None:
    """The keys of KEDA's postgresql scaler, with the connection from the secret."""
    (scaled,), (authentication,) = of_kind(manifests, "ScaledObject"), of_kind(manifests, "TriggerAuthentication")
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "postgresql"
    assert set(trigger["metadata"]) == {"query", "targetQueryValue", "activationTargetQueryValue"}
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert reference == {"parameter": "connection", "name": "freebits", "key": "FREEBITS_DATABASE_URL"}


def test_no_secret_is_in_the_manifests(manifests: list[dict[str, Any]]) -> None:
    """They refer to one that is made elsewhere; a worker does not get the admin's token."""
    assert not of_kind(manifests, "Secret")
    (worker,) = pods(manifests)["worker"]["containers"]
    keys = {each["valueFrom"]["secretKeyRef"]["key"] for each in worker["env"] if "valueFrom" in each}
    assert keys == {"FREEBITS_DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert worker["envFrom"] == [{"configMapRef": {"name": "freebits"}}]
