"""Every list of the API is paged by key: bounded pages, each item once, whatever is added meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from freebits_service.app import create_app
from freebits_service.context import Hub

LARGEST_PAGE = 10_000
# The first answers for the numbers in the request; the second is as long as there are worker processes that live.
BOUNDED_OTHERWISE = ("/parts/urls", "/workers")
COUNT = 7
Fill = Callable[[Any, int], None]


def test_every_list_of_the_document_has_a_cursor_and_a_bounded_page(hub: Hub) -> None:
    """`after` and a `limit` with a maximum, `next` in the answer, no offset and no page numbers."""
    document = create_app(hub.settings, hub).openapi()
    lists = {
        path: operations["get"]
        for path, operations in document["paths"].items()
        if "get" in operations
        and "items" in _answer(document, operations["get"])
        and not path.endswith(BOUNDED_OTHERWISE)
    }
    assert len(lists) >= 5, lists.keys()
    for path, operation in lists.items():
        parameters = {each["name"]: each["schema"] for each in operation.get("parameters", []) if each["in"] == "query"}
        assert {"after", "limit"} <= parameters.keys(), path
        assert not {"offset", "page", "skip"} & parameters.keys(), path
        assert 1 <= parameters["limit"]["maximum"] <= LARGEST_PAGE, path
        assert parameters["limit"]["minimum"] == 1, path
        assert "next" in _answer(document, operation), path


def _answer(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    schema = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    properties: dict[str, Any] = schema.get("properties", {})
    return properties


def _new_repo(client: Any, number: int) -> None:
    client.new_repo(f"admin/m{number:03}")


def _new_tag(client: Any, number: int) -> None:
    reply = client.post("/repos/admin/model/refs", json={"type": "tag", "name": f"v{number:03}", "target": "main"})
    assert reply.status_code == 201, reply.text


def _new_commit(client: Any, number: int) -> None:
    head = client.get("/repos/admin/model").json()["head"]
    client.push("admin/model", {f"f{number:03}": b"content %d" % number}, head)


@pytest.mark.parametrize(
    ("path", "fill", "key"),
    [
        ("/repos", _new_repo, "name"),
        ("/repos/admin/model/refs", _new_tag, "name"),
        ("/repos/admin/model/tree/main", _new_commit, "path"),
        ("/repos/admin/model/commits/main", _new_commit, "id"),
        ("/jobs", _new_commit, "id"),
    ],
)
def test_a_list_that_grows_shows_everything_that_was_there_once(client: Any, path: str, fill: Fill, key: str) -> None:
    """Pages of two while others add before, between and behind; what was there comes in order and once."""
    client.new_repo()
    client.push("admin/model", {"first": b"first"})
    for number in range(COUNT):
        fill(client, 100 + number)
    before = [item[key] for item in client.get(path, params={"limit": 1000}).json()["items"]]
    seen: list[Any] = []
    after, added = None, 0
    while True:
        reply = client.get(path, params={"limit": 2, **({} if after is None else {"after": after})}).json()
        assert len(reply["items"]) <= 2
        seen += [item[key] for item in reply["items"]]
        after = reply["next"]
        if after is None:
            break
        if added < COUNT:
            fill(client, (50, 103, 250)[added % 3] * 10 + added)
            added += 1
    assert len(seen) == len(set(seen))
    assert [item for item in seen if item in set(before)] == before


def test_limits_out_of_bounds_are_refused(client: Any) -> None:
    """Neither nothing nor everything can be asked for."""
    client.new_repo()
    for path in ("/repos", "/repos/admin/model/refs", "/jobs"):
        for limit in ("0", "-1", "100000", "x"):
            assert client.get(path, params={"limit": limit}).status_code == 422
