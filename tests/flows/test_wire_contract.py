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
from freebits import wire_accounts as accounts

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
    wire.Variant: "Variant",
    wire.PartUrl: "PartUrl",
}

REQUESTS = [
    wire.whoami(),
    wire.list_jobs("queued", 5, 10),
    wire.get_job(1),
    wire.change_job(1, "retry"),
    wire.change_job(1, "cancel"),
    wire.create_variant("a/b", "gauge-polar", revision="main", to=None, parameters={}),
    wire.list_variants("a/b", 1, 2),
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
    accounts.list_users("cursor"),
    accounts.get_user("ann"),
    accounts.create_user("ann", "user"),
    accounts.change_user("ann", role="user", active=True),
    accounts.delete_user("ann"),
    accounts.list_tokens("ann", "1"),
    accounts.create_token("ann", "label", "read", "ann", None),
    accounts.delete_token("ann", 1),
    accounts.list_orgs("cursor"),
    accounts.create_org("lab"),
    accounts.delete_org("lab"),
    accounts.list_members("lab", "cursor"),
    accounts.put_member("lab", "ann", "read"),
    accounts.delete_member("lab", "ann"),
    accounts.get_usage("lab"),
    accounts.change_quota("lab", logical_nbytes=1, stored_nbytes="default"),
    accounts.recount(None),
    accounts.list_audit("lab", "ann", "commit", after=1, limit=2),
    accounts.begin_login("http://127.0.0.1:1/callback", "c"),
    accounts.finish_login("s", "c", "v", label="l", scope="read"),
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
