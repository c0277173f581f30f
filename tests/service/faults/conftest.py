"""A hub process without a worker, and workers beside it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from job_waiting import MIB, wait_for
from worker_process import WorkerProcess

HUB = ("--no-worker", "--part-nbytes", str(8 * MIB))

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def make_worker(tmp_path: Path) -> Iterator[StartWorker]:
    """Workers beside a hub process; all are killed at the end."""
    made: list[WorkerProcess] = []

    def make(served: Any, *flags: str, limits: Callable[[], None] | None = None) -> WorkerProcess:
        usual = {
            "--data": str(served.data),
            "--job-poll-s": "0.1",
            "--heartbeat-s": "0.3",
            "--worker-dead-after-s": "3",
            "--job-backoff-s": "0.1",
            "--encode-min-nbytes": "1",
            "--min-free-nbytes": "0",
        }
        given = dict(zip(flags[::2], flags[1::2], strict=True))
        arguments = [part for pair in {**usual, **given}.items() for part in pair]
        made.append(WorkerProcess(arguments, served.database_url, tmp_path / f"worker{len(made)}.log", limits))
        return made[-1]

    yield make
    for each in made:
        with suppress(psutil.NoSuchProcess):
            each.signal(signal.SIGCONT)
        each.kill()


@pytest.fixture
def pushed_to(make_process: Callable[..., Any], connect: Callable[..., Any]) -> tuple[Any, Any, str]:
    """A hub process without a worker, a client of it, and a repo."""
    served = make_process(*HUB)
    served.start()
    client = connect(served)
    return served, client, client.new_repo()


@pytest.fixture
def ready_worker(make_worker: StartWorker) -> Callable[[Any], WorkerProcess]:
    """Start a worker and wait until it takes jobs."""

    def start(served: Any) -> WorkerProcess:
        worker = make_worker(served)
        wait_for(lambda: worker.lines("worker ready"), "the worker")
        return worker

    return start
