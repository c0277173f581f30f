"""``freebits fsck``: check that database and store fit together; findings on stdout, progress on stderr."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ..repair.findings import Finding, Report
from ..repair.operations import fsck as check
from ..settings import MIB
from .commands import command_parser, opened_hub, parse
from .outcome import DAMAGED, OK, reported

TELL_EVERY_S = 5.0


def fsck(argv: Sequence[str]) -> int:
    """Check the whole hub beside its running; 0 when it is clean, 6 when there was damage. The exit status."""
    with reported("fsck") as outcome:
        options, chosen = parse(_parser(), argv)
        report = Report(on_progress=_Progress(options.quiet).tell)
        if not options.json:
            report.on_finding = _print_finding
        with opened_hub(chosen) as hub:
            check(
                hub,
                report,
                depth="fast" if options.fast else "deep" if options.deep else "bytes",
                repair=options.repair,
                rebuild_tensors=options.rebuild_tensors,
                nbytes_per_s=options.rate * MIB if options.rate else None,
            )
        print(_as_json(report) if options.json else _sentence(report))
        outcome.status = DAMAGED if report.damages else OK
    return outcome.status


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("fsck", "Check that database and store fit together, beside the running hub.")
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--fast", action="store_true", help="compare sizes only, read nothing")
    depth.add_argument("--deep", action="store_true", help="also decode everything and compare the original SHA-256")
    parser.add_argument("--repair", action="store_true", help="put right what can be without losing anything")
    parser.add_argument("--rebuild-tensors", action="store_true", help="index the tensors of all containers anew")
    parser.add_argument("--rate", type=float, metavar="MIB", help="read at most so many MiB per second")
    parser.add_argument("--json", action="store_true", help="the result as one line of JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    return parser


@dataclass(slots=True)
class _Progress:
    quiet: bool
    _told_at: float = 0.0

    def tell(self, report: Report) -> None:
        """A line every few seconds."""
        if self.quiet or time.monotonic() - self._told_at < TELL_EVERY_S:
            return
        self._told_at = time.monotonic()
        facts = f"{report.pages} pages, {report.blobs} files, {report.nbytes / MIB:,.0f} MiB read"
        print(f"freebits fsck: {facts}, {report.damages} damaged", file=sys.stderr)


def _print_finding(finding: Finding) -> None:
    mark = "DAMAGE" if finding.is_damage else "notice"
    rest = [finding.detail, *([f"-> {finding.done}"] if finding.done else []), *finding.files]
    print(f"{mark}  {finding.kind:<14}  {finding.what}  " + "; ".join(rest), flush=True)


def _as_json(report: Report) -> str:
    facts = {name: getattr(report, name) for name in ("blobs", "objects", "nbytes", "pages", "damages", "notices")}
    return json.dumps({**facts, "findings": [asdict(finding) for finding in report.findings]})


def _sentence(report: Report) -> str:
    state = f"{report.damages} DAMAGED" if report.damages else "clean"
    return (
        f"{state}: {report.pages} pages, {report.blobs} files, {report.objects} objects, {report.nbytes:,} bytes read, "
        f"{report.notices} notices"
    )
