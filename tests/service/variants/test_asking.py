"""Who may ask for which variant of what, how often, and what the answers say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from variant_asking import METHOD, SOURCE, ask, run_variant, variant_job

from freebits_service.context import Hub
from freebits_service.workers.variant import VariantSteps

MakeVariant = Callable[..., dict[str, Any]]


def test_the_answer_is_the_job(client: Any, repo: str) -> None:
    """With its address; it is among all jobs, says what it makes, and waits behind what was pushed."""
    reply = ask(client, repo)
    job = reply.json()
    head = client.get(f"/repos/{repo}").json()["head"]
    assert (reply.status_code, reply.headers["location"]) == (202, f"/api/v1/jobs/{job['id']}")
    assert (job["kind"], job["state"], job["repo"], job["path"], job["sha256"]) == ("variant", "queued", repo, None, "")
    assert job["nbytes"] == sum(len(content or b"") for content in SOURCE.values())
    assert job["variant"] == {
        "method": METHOD,
        "parameters": {},
        "source": head,
        "branch": METHOD,
        "author": "admin",
        "commit": None,
    }
    assert client.get(f"/jobs/{job['id']}").json() == job
    assert job["priority"] > min(each["priority"] for each in client.get("/jobs").json()["items"])
    [line] = client.get("/audit", params={"action": "variant.create"}).json()["items"]
    assert (line["repo"], line["detail"]["job"], line["detail"]["branch"]) == (repo, job["id"], METHOD)


def test_asking_again_is_asking_once(client: Any, repo: str, variant_steps: VariantSteps) -> None:
    """While it waits and when it is made; until the branch is not there any more, or the job was cancelled."""
    job_id = ask(client, repo).json()["id"]
    again = ask(client, repo, revision="main", to=METHOD, parameters={})
    assert (again.status_code, again.json()["id"]) == (202, job_id)
    run_variant(variant_steps)
    made = ask(client, repo)
    assert (made.status_code, made.json()["id"], made.json()["state"]) == (200, job_id, "done")
    assert ask(client, repo, revision=made.json()["variant"]["source"]).json()["id"] == job_id
    assert ask(client, repo, to="elsewhere").json()["id"] != job_id
    assert client.request("DELETE", f"/repos/{repo}/refs/branch/{METHOD}").status_code == 204
    [listed] = [each for each in client.get(f"/repos/{repo}/variants").json()["items"] if each["job"] == job_id]
    assert listed["is_head"] is False
    once_more = ask(client, repo)
    assert (once_more.status_code, once_more.json()["id"], once_more.json()["state"]) == (202, job_id, "queued")
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 204
    assert (ask(client, repo).status_code, client.get(f"/jobs/{job_id}").json()["state"]) == (202, "queued")
    assert len(client.get("/audit", params={"action": "variant.create"}).json()["items"]) == 4


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"method": "no-such"}, 422, "INVALID_REQUEST"),
        ({"method": METHOD, "parameters": {"x": 1}}, 422, "INVALID_REQUEST"),
        ({"method": METHOD, "more": 1}, 422, "INVALID_REQUEST"),
        ({"method": METHOD, "to": "a..b"}, 422, "INVALID_NAME"),
        ({"method": METHOD, "to": ""}, 202, None),
        ({"method": METHOD, "revision": "nowhere"}, 404, "REVISION_NOT_FOUND"),
        ({"method": METHOD, "to": "main"}, 409, "NOT_A_VARIANT_BRANCH"),
        ({"method": METHOD, "to": "work"}, 409, "NOT_A_VARIANT_BRANCH"),
        ({"method": METHOD, "to": "v1"}, 409, "REF_EXISTS"),
        ({"method": METHOD, "revision": "work", "to": "work"}, 409, "NOT_A_VARIANT_BRANCH"),
        ({"method": METHOD, "revision": "v1"}, 202, None),
    ],
)
@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_what_can_be_asked_for(client: Any, repo: str, body: dict[str, Any], status: int, code: str | None) -> None:
    """Every refusal says what is wrong; nothing is queued then."""
    for kind, name in (("branch", "work"), ("tag", "v1")):
        made = client.post(f"/repos/{repo}/refs", json={"type": kind, "name": name, "target": "main"})
        assert made.status_code == 201
    reply = client.post(f"/repos/{repo}/variants", json=body)
    assert (reply.status_code, reply.json().get("code")) == (status, code), reply.text
    assert len(client.get(f"/repos/{repo}/variants").json()["items"]) == (status == 202)


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_variant_is_no_source(client: Any, repo: str, make_variant: MakeVariant) -> None:
    """Nor is what was committed on top of one, which makes the branch somebody's."""
    made = make_variant(repo)
    assert ask(client, repo, "gauge-polar", revision=METHOD).json()["code"] == "NOT_LOSSLESS"
    assert ask(client, repo, "gauge-polar", revision=made["commit"]).json()["code"] == "NOT_LOSSLESS"
    client.push(repo, {"notes": b"on top"}, made["commit"], branch=METHOD)
    assert ask(client, repo, "gauge-polar", revision=METHOD, to="x").json()["code"] == "NOT_LOSSLESS"
    assert ask(client, repo, "gauge-polar", to=METHOD).json()["code"] == "NOT_A_VARIANT_BRANCH"


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_it_takes_the_right_to_write(hub: Hub, client: Any, repo: str, variant_steps: VariantSteps) -> None:
    """Strangers, readers and other users may not ask; of private repos they learn nothing."""
    bob = client.new_user("bob")
    assert ask(client.as_user(None), repo).status_code == 401
    assert ask(bob, repo).json()["code"] == "FORBIDDEN"
    token = client.post("/users/admin/tokens", json={"label": "r", "scope": "read"}).json()["token"]
    assert ask(client.as_user(token), repo).status_code == 403
    assert bob.get(f"/repos/{repo}/variants").json()["items"] == []
    job_id = ask(client, repo).json()["id"]
    assert [each["job"] for each in client.as_user(None).get(f"/repos/{repo}/variants").json()["items"]] == [job_id]
    assert bob.get(f"/jobs/{job_id}").status_code == 404
    assert bob.post(f"/jobs/{job_id}/cancel").status_code == 403
    client.request("PATCH", f"/repos/{repo}", json={"visibility": "private"})
    for other in (bob, client.as_user(None)):
        assert other.get(f"/repos/{repo}/variants").status_code == 404
        assert ask(other, repo).json()["code"] == "REPO_NOT_FOUND"
    run_variant(variant_steps)
    assert bob.request("GET", f"/repos/{repo}/resolve/{METHOD}/model.safetensors").status_code == 404
    assert ask(client, "admin/nothing").status_code == 404


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_owners_cancel_and_retry_their_own(hub: Hub, client: Any) -> None:
    """Who may write to the repo, not only admins; not what encodes."""
    bob = client.new_user("bob")
    bob.push(bob.new_repo("bob/own", "private"), SOURCE)
    job_id = ask(bob, "bob/own").json()["id"]
    assert bob.get(f"/jobs/{job_id}").json()["repo"] == "bob/own"
    assert bob.post(f"/jobs/{job_id}/cancel").status_code == 204
    assert variant_job(hub).outcome == "cancelled by bob"
    assert bob.post(f"/jobs/{job_id}/retry").status_code == 204
    assert variant_job(hub).state == "queued"
    [encoding, *_] = [each for each in bob.get("/jobs").json()["items"] if each["kind"] == "encode"]
    assert bob.post(f"/jobs/{encoding['id']}/cancel").status_code == 403


def test_variants_are_listed_page_by_page(client: Any, repo: str) -> None:
    """Newest first, those of this repo alone."""
    client.push(client.new_repo("admin/other"), SOURCE)
    ask(client, "admin/other")
    asked = [ask(client, repo, to=f"branch{number}").json()["id"] for number in range(5)]
    found, after = [], None
    while True:
        page = client.get(f"/repos/{repo}/variants", params={"limit": 2, **({"after": after} if after else {})}).json()
        found += [item["job"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert found == asked[::-1]
