"""variant: have the hub make equivalent forms of a revision, and list them."""

from __future__ import annotations

import dataclasses
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from freebits.cli.terminal import bar, show, size, table
from freebits.cli.transfers import connect
from freebits.errors import JobFailed

if TYPE_CHECKING:
    from freebits.client import Hub
    from freebits.wire import Job

WAIT_EVERY_S = 0.5
_HEADER = ("branch", "method", "source", "commit", "state", "before", "after", "saved")


def create(options: Namespace) -> int:
    """`freebits variant create NAMESPACE/NAME --method METHOD`"""
    with connect(options) as hub:
        job = hub.create_variant(options.repo, options.method, options.revision, options.to, dict(options.set))
        if options.wait:
            job = _wait(hub, job, options)
    assert job.variant is not None
    branch = job.variant["branch"]
    done = job.state == "done"
    text = f"{options.repo} {branch} is at {job.variant['commit']}" if done else f"job {job.id} makes {branch}"
    show(options, dataclasses.asdict(job), text)
    return 0


def ls(options: Namespace) -> int:
    """`freebits variant ls NAMESPACE/NAME`"""
    with connect(options) as hub:
        found = hub.variants(options.repo)
    rows = [
        (
            each.branch if each.is_head or each.commit is None else f"({each.branch})",
            each.method,
            each.source[:12],
            (each.commit or "-")[:12],
            each.state,
            size(each.before_nbytes),
            size(each.after_nbytes),
            _saved(each.before_nbytes, each.after_nbytes),
        )
        for each in found
    ]
    text = table([_HEADER, *rows], right=frozenset({5, 6, 7})) if found else "no variants"
    show(options, [dataclasses.asdict(each) for each in found], text)
    return 0


def _wait(hub: Hub, job: Job, options: Namespace) -> Job:
    """The job when it is done; raises JobFailed when it will not be."""
    with bar(options, job.variant["branch"] if job.variant else "variant") as progress:
        progress.expect(job.nbytes)
        told = 0
        while job.is_active:
            time.sleep(WAIT_EVERY_S)
            job = hub.job(job.id)
            done = min(job.progress_nbytes, job.nbytes)
            progress.advance(done - told, 0)
            told = done
    if job.state != "done":
        raise JobFailed(job.id, job.state, job.outcome)
    return job


def _saved(before: int | None, after: int | None) -> str:
    return f"{100 * (1 - after / before):.1f} %" if before and after is not None else "-"
