"""jobs: what the hub works on in the background."""

from __future__ import annotations

import dataclasses
import time
from argparse import Namespace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from freebits.cli.terminal import show, size, table
from freebits.cli.transfers import connect
from freebits.errors import UsageError

if TYPE_CHECKING:
    from freebits.client import Hub
    from freebits.wire import Job

WATCH_EVERY_S = 2.0
_ERROR_WIDTH = 60
_HEADER = ("id", "state", "file", "size", "done", "attempts", "age", "worker", "error")


def jobs(options: Namespace) -> int:
    """`freebits jobs [list | show ID | retry ID | cancel ID]`"""
    if options.action == "list" and options.id is not None:
        raise UsageError("`freebits jobs list` takes no job; `freebits jobs show ID` shows one")
    if options.action != "list" and options.id is None:
        raise UsageError(f"which job? `freebits jobs {options.action} ID`; `freebits jobs` lists them")
    with connect(options) as hub:
        if options.action in {"retry", "cancel"}:
            hub.change_job(options.id, options.action)
            done = "queued again" if options.action == "retry" else "cancelled"
            show(options, {"id": options.id, "action": options.action}, f"job {options.id} is {done}")
            return 0
        while _show(hub, options) and options.watch:
            time.sleep(WATCH_EVERY_S)
    return 0


def _show(hub: Hub, options: Namespace) -> bool:
    """Print one job or many; whether something will still happen to one of them."""
    if options.action == "show":
        job = hub.job(options.id)
        facts = dataclasses.asdict(job)
        rows = [(name.replace("_", " "), "-" if value in {None, ""} else str(value)) for name, value in facts.items()]
        show(options, facts, table(rows))
        return job.is_active
    found = hub.jobs(options.state, options.limit)
    text = table([_HEADER, *map(_row, found)], right=frozenset({0, 3, 4, 5, 6})) if found else "no jobs"
    show(options, [dataclasses.asdict(job) for job in found], text)
    return any(job.is_active for job in found)


def _row(job: Job) -> tuple[str, ...]:
    place = _place(job)
    failed = job.failures > 0 or job.state in {"parked", "cancelled"}
    error = " ".join(job.outcome.split())[:_ERROR_WIDTH] if failed else ""
    return (
        str(job.id),
        job.state,
        place,
        size(job.nbytes),
        _percent(job),
        str(job.attempt),
        _age(job.created_at),
        job.worker or "-",
        error,
    )


def _place(job: Job) -> str:
    if job.variant:
        return f"{job.repo or '?'} {job.variant['branch']}"
    return f"{job.repo}/{job.path}" if job.repo and job.path else job.sha256[:12]


def _percent(job: Job) -> str:
    if job.state == "done":
        return "100%"
    return f"{100 * job.progress_nbytes // job.nbytes}%" if job.state == "running" and job.nbytes else "-"


def _age(moment: str) -> str:
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(moment.replace("Z", "+00:00"))).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"
