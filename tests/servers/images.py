"""What the images run and with which environment, read from the Dockerfile and the compose file themselves.

So the tests and ``make stack`` start, as plain processes, exactly what the containers would start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


class VariableMissing(LookupError):
    """The compose file needs a variable that has no value; the message is the file's own."""


@dataclass(slots=True)
class Stage:
    """One ``FROM`` of the Dockerfile with what it says itself and inherits from the stages it is made from."""

    base: str
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages() -> dict[str, Stage]:
    """The stages by name."""
    found: dict[str, Stage] = {}
    stage = Stage("")
    parser = DockerfileParser(str(DOCKERFILE))
    for step in parser.structure:
        instruction, value = step["instruction"], step["value"]
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            stage = _inherit(base, found.get(base))
            found[name] = stage
        elif instruction != "COMMENT":
            _apply(stage, instruction, value)
    return found


def _inherit(base: str, parent: Stage | None) -> Stage:
    if parent is None:
        return Stage(base)
    return Stage(
        parent.base,
        list(parent.entrypoint),
        list(parent.command),
        list(parent.healthcheck),
        dict(parent.environment),
        dict(parent.labels),
        parent.user,
        list(parent.instructions),
    )


def _apply(stage: Stage, instruction: str, value: str) -> None:
    stage.instructions.append((instruction, value))
    if instruction == "ENTRYPOINT":
        stage.entrypoint = json.loads(value)
    elif instruction == "CMD":
        stage.command = json.loads(value)
    elif instruction == "HEALTHCHECK":
        stage.healthcheck = json.loads(value.partition("CMD ")[2])
    elif instruction == "USER":
        stage.user = value
    elif instruction in {"ENV", "LABEL"}:
        pairs = re.findall(r'([\w.]+)=("[^"]*"|\S+)', value)
        kept = stage.environment if instruction == "ENV" else stage.labels
        kept.update({name: text.strip('"') for name, text in pairs})


def rendered_compose(values: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with its variables filled in, as the engine would see it; raises VariableMissing."""
    composed: dict[str, Any] = _filled(yaml.safe_load(COMPOSE.read_text()), values)
    return composed


def _filled(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    return _VARIABLE.sub(lambda found: _value(found, values), node) if isinstance(node, str) else node


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(found["name"], "")
    if value:
        return value
    if found["kind"] == "?":
        raise VariableMissing(f"{found['name']}: {found['rest']}")
    return found["rest"] or ""


def command_of(service: Mapping[str, Any]) -> list[str]:
    """What the container of a service of ours runs."""
    stage = _stage_of(service)
    entrypoint = service.get("entrypoint", stage.entrypoint)
    default = [] if "entrypoint" in service else stage.command
    return [*entrypoint, *service.get("command", default)]


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """The variables of the container of a service of ours."""
    given = {name: str(value) for name, value in service.get("environment", {}).items()}
    return {**_stage_of(service).environment, **given}


def _stage_of(service: Mapping[str, Any]) -> Stage:
    name = service["image"].partition(":")[0]
    return stages()[name.removeprefix("freebits-")]
