"""push and pull."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from freebits.cli.terminal import bar, show, size

if TYPE_CHECKING:
    from freebits.client import Hub


def connect(options: Namespace) -> Hub:
    """The hub that the options and the environment name."""
    from freebits.client import Hub  # noqa: PLC0415  httpx costs 0.2 s, and local commands need none

    threads = getattr(options, "threads", None)
    return Hub(options.endpoint, options.token, retries=options.retries, threads=threads)


def push(options: Namespace) -> int:
    """`freebits push PATH NAMESPACE/NAME`"""
    with connect(options) as hub, bar(options, "push") as progress:
        result = hub.push(
            options.path,
            options.repo,
            options.revision,
            options.message,
            include=options.include,
            exclude=options.exclude,
            visibility="public" if options.public else "private",
            encode=options.encode,
            progress=progress,
        )
    done = (
        f"pushed {_files(result.pushed)} ({size(result.nbytes)}, {size(result.sent_nbytes)} sent)"
        if result.pushed
        else "nothing to push, all files are there already"
    )
    show(options, dataclasses.asdict(result), f"{done}: {result.repo} {result.revision} is at {result.commit}")
    return 0


def pull(options: Namespace) -> int:
    """`freebits pull NAMESPACE/NAME`"""
    with connect(options) as hub, bar(options, "pull") as progress:
        result = hub.pull(
            options.repo,
            options.output,
            options.revision,
            include=options.include,
            exclude=options.exclude,
            progress=progress,
        )
    done = (
        f"pulled {_files(result.pulled)} ({size(result.nbytes)}, {size(result.received_nbytes)} received)"
        if result.pulled
        else "nothing to pull, all files are there already"
    )
    facts = {**dataclasses.asdict(result), "output": str(result.output)}
    show(options, facts, f"{done}: {result.output} holds {result.repo} at {result.commit}")
    return 0


def _files(paths: Sequence[str]) -> str:
    return "1 file" if len(paths) == 1 else f"{len(paths)} files"
