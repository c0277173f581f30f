"""The client's small dataclasses and requests against the OpenAPI document of the service."""

from __future__ import annotations

import dataclasses
import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from freebits import wire

SCHEMA_OF = {
    wire.Identity: "Whoami",
    wire.Repo: "Repo",
    wire.Ref: "Ref",
    wire.DeletedRepo: "DeletedRepo",
    wire.DeletedRef: "DeletedRef",
    wire.Commit: "Commit",
    wire.Entry: "Entry",
    wire.Upload: "Upload",
    wire.Job: "Job",
    wire.PartUrl: "PartUrl",
}

REQUESTS = [
    wire.whoami(),
    wire.list_jobs("queued", 5, 10),
    wire.get_job(1),
    wire.change_job(1, "retry"),
    wire.change_job(1, "cancel"),
    wire.create_repo("a/b", "private"),
    wire.list_repos("a", "cursor"),
    wire.get_repo("a/b"),
    wire.delete_repo("a/b"),
    wire.list_refs("a/b", "cursor"),
    wire.create_ref("a/b", "tag", "x", "main"),
    wire.list_deleted_repos("a", "cursor"),
    wire.undelete_repo("a/b", "c"),
    wire.list_deleted_refs("a/b", "1"),
    wire.delete_ref("a/b", "branch", "x"),
    wire.list_tree("a/b", "main", "cursor"),
    wire.open_upload("a/b", sha256="0", nbytes=1, encoding="identity", stored_nbytes=1, stored_sha256="0"),
    wire.get_upload("a/b", "u"),
    wire.complete_upload("a/b", "u"),
    wire.abort_upload("a/b", "u"),
    wire.commit("a/b", "main", None, message="m", operations=[]),
    wire.Request("PUT", wire.part_path("a/b", "u", 0)),
    wire.Request("GET", wire.part_urls_path("a/b", "u", 0)),
    wire.Request("GET", wire.resolve_path("a/b", "main", "file")),
]


@pytest.fixture(scope="module")
def openapi(shared_hub: Any) -> Iterator[dict[str, Any]]:
    """What the hub says about itself."""
    with urllib.request.urlopen(f"{shared_hub.endpoint}/api/v1/openapi.json") as response:
        yield json.load(response)


@pytest.mark.parametrize("kind", SCHEMA_OF, ids=lambda kind: kind.__name__)
def test_every_field_is_in_the_schema(openapi: dict[str, Any], kind: type) -> None:
    """What the client reads is what the service writes."""
    properties = openapi["components"]["schemas"][SCHEMA_OF[kind]]["properties"]
    assert {field.name for field in dataclasses.fields(kind)} <= properties.keys()


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: f"{r.method} {r.path}")
def test_every_request_has_a_route_that_takes_its_body(openapi: dict[str, Any], request_: wire.Request) -> None:
    """Method, path, query and body of each request exist in the service."""
    path, _, query = request_.path.partition("?")
    route = next(r for r in openapi["paths"] if _fits(r, path))
    operation = openapi["paths"][route][request_.method.lower()]
    names = {parameter["name"] for parameter in operation.get("parameters", [])}
    assert set(re.findall(r"(\w+)=", query)) <= names
    if request_.json is not None:
        (content,) = operation["requestBody"]["content"].values()
        schema = openapi["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert request_.json.keys() <= schema["properties"].keys()
        assert set(schema.get("required", ())) <= request_.json.keys()


def _fits(route: str, path: str) -> bool:
    pattern = re.sub(r"\{\w+\}", "[^/]+", route.replace(".", r"\."))
    return re.fullmatch(pattern, path) is not None
