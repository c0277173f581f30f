"""``freebits gc``: one collection now, or what it would do, or a pause of all collections for a backup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from ..collection.lease import pause
from ..collection.operations import Collected, collect
from ..collection.survey import survey
from ..context import Hub
from .commands import command_parser, opened_hub, parse
from .outcome import OK, reported


def gc(argv: Sequence[str]) -> int:
    """Let go of what nobody needs; runs beside the hub and its workers. The exit status."""
    parser = command_parser("gc", "Let go of what nobody needs; runs beside the hub and its workers.")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would go now, and how many bytes")
    parser.add_argument("--json", action="store_true", help="the result as one line of JSON")
    parser.add_argument(
        "--pause", type=float, metavar="SECONDS", help="collect nothing anywhere for so long (0: go on), for a backup"
    )
    with reported("gc") as outcome:
        options, chosen = parse(parser, argv)
        with opened_hub(chosen) as hub:
            if options.pause is None:
                _collect(hub, options.dry_run, options.json)
            else:
                pause(hub.db, options.pause)
        outcome.status = OK
    return outcome.status


def _collect(hub: Hub, dry_run: bool, as_json: bool) -> None:
    collected = survey(hub) if dry_run else collect(hub)
    if as_json:
        print(json.dumps({"dry_run": dry_run, **asdict(collected)}))
    else:
        print(_sentence(collected, dry_run))


def _sentence(collected: Collected, dry_run: bool) -> str:
    return (
        f"{'would free' if dry_run else 'freed'} {collected.nbytes:,} bytes: {collected.repos} deleted repos, "
        f"{collected.blobs} files that nobody needs, {collected.raw_copies} raw copies of encoded files, "
        f"{collected.objects} orphans, {collected.uploads} expired uploads, {collected.staged} staged leftovers, "
        f"{collected.xorbs} xorbs of Xet uploads"
    )
