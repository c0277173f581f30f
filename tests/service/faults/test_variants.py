"""Workers killed with -9, or the hub with them, while they make a variant: it is made once, elsewhere, and is whole.

`make test-faults` runs these in a loop.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from job_waiting import wait_for
from sliced_model import sliced_model
from worker_process import WorkerProcess

pytestmark = pytest.mark.fault
STEPS = {"making a variant": "gauge-triangular", "verifying": "gauge-polar", "publishing": "bits-back"}
MODEL = sliced_model(size=256)


def variant(client: Any, repo: str) -> dict[str, Any]:
    """The variant that was asked for last."""
    return dict(client.get(f"/repos/{repo}/variants").json()["items"][0])


def check(client: Any, repo: str, made: dict[str, Any]) -> None:
    """One commit on top of its source, whose file has its digest."""
    history = [commit["id"] for commit in client.get(f"/repos/{repo}/commits/{made['branch']}").json()["items"]]
    assert history == [made["commit"], made["source"]]
    reply = client.resolve(repo, "model.safetensors", made["branch"])
    assert hashlib.sha256(reply.content).hexdigest() == reply.headers["x-freebits-sha256"]


@pytest.mark.parametrize("engine_name", ["postgres"], indirect=True)
def test_a_worker_killed_at_each_step(
    pushed_to: tuple[Any, Any, str], ready_worker: Callable[[Any], WorkerProcess]
) -> None:
    """Another one goes on or finds it done; nothing of the first is left on the disk."""
    served, client, repo = pushed_to
    client.push(repo, {"model.safetensors": MODEL, "config.json": b"{}"})
    worker = ready_worker(served)
    for step, method in STEPS.items():
        asked = client.post(f"/repos/{repo}/variants", json={"method": method})
        assert asked.status_code == 202
        job_id = asked.json()["id"]
        # Of this job: the worker has come to the same step of the one before, which it went on with.
        wait_for(
            lambda step=step, worker=worker, job_id=job_id: any(
                line["job_id"] == job_id for line in worker.lines(step)
            ),
            step,
            0.002,
        )
        worker.kill()
        worker = ready_worker(served)
        wait_for(lambda: variant(client, repo)["state"] == "done", "the variant", 0.1)
        made = variant(client, repo)
        assert made["method"] == method
        check(client, repo, made)
        job = client.get(f"/jobs/{made['job']}").json()
        assert (job["attempt"], job["failures"]) == (1, 0)
        assert list((Path(served.data) / "scratch").glob("*/*")) == []


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_the_hub_killed_while_its_worker_makes_one(
    make_process: Callable[..., Any], connect: Callable[..., Any], tmp_path: Path
) -> None:
    """The worker and its child go with it; the next start begins the job anew and sweeps what was left."""
    served = make_process()
    served.start()
    client = connect(served)
    repo = client.new_repo()
    client.push(repo, {"model.safetensors": MODEL, "config.json": b"{}"})
    assert client.post(f"/repos/{repo}/variants", json={"method": "gauge-polar"}).status_code == 202
    scratch = Path(served.data) / "scratch"
    wait_for(lambda: list(scratch.glob("*/*/source")), "the checkout", 0.002)
    served.end(signal.SIGKILL)
    served.start()
    wait_for(lambda: variant(client, repo)["state"] == "done", "the variant", 0.1)
    check(client, repo, variant(client, repo))
    assert list(scratch.glob("*/*")) == []


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_a_running_job_is_cancelled(
    pushed_to: tuple[Any, Any, str], ready_worker: Callable[[Any], WorkerProcess]
) -> None:
    """Its child is killed within a heartbeat; the worker lives on and takes the next job."""
    served, client, repo = pushed_to
    client.push(repo, {"model.safetensors": sliced_model(size=768, layers=3), "config.json": b"{}"})
    other = client.new_repo("admin/other")
    client.push(other, {"model.safetensors": sliced_model(), "config.json": b"{}"})
    worker = ready_worker(served)
    job_id = client.post(f"/repos/{repo}/variants", json={"method": "gauge-polar"}).json()["id"]
    wait_for(lambda: worker.lines("making a variant"), "the job to begin", 0.002)
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 204
    assert client.post(f"/repos/{other}/variants", json={"method": "gauge-polar"}).status_code == 202
    wait_for(lambda: variant(client, other)["state"] == "done", "the next one", 0.1)
    assert client.get(f"/jobs/{job_id}").json()["state"] == "cancelled"
    assert client.resolve(repo, "config.json", "gauge-polar").status_code == 404
    assert list((Path(served.data) / "scratch").glob("*/*")) == []
