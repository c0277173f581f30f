"""What a check of the hub finds, and where it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit.

    `is_damage`: bytes are lost or the database contradicts itself; otherwise it is left-over work of the collector.
    `done`: what was done about it, empty for nothing. `files` are some of the files that are concerned.
    """

    kind: str
    what: str
    detail: str
    is_damage: bool = True
    done: str = ""
    files: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """Counts, and the findings (the first 100,000 of them are kept)."""

    blobs: int = 0
    objects: int = 0
    nbytes: int = 0
    pages: int = 0
    damages: int = 0
    notices: int = 0
    findings: list[Finding] = field(default_factory=list)
    on_finding: Callable[[Finding], None] = lambda _: None
    on_progress: Callable[[Report], None] = lambda _: None

    def add(self, finding: Finding) -> None:
        """Note a finding."""
        if finding.is_damage:
            self.damages += 1
        else:
            self.notices += 1
        if len(self.findings) < MAX_KEPT:
            self.findings.append(finding)
        self.on_finding(finding)

    def read(self, nbytes: int) -> None:
        """So many bytes of the store were read."""
        self.nbytes += nbytes
        self.on_progress(self)


@dataclass(slots=True)
class Throttle:
    """Lets at most so many bytes per second pass; None lets all."""

    nbytes_per_s: float | None
    _free_at: float = 0.0

    def wait(self, nbytes: int) -> None:
        """Wait until so many bytes more may pass."""
        if self.nbytes_per_s is None:
            return
        now = time.monotonic()
        time.sleep(max(0.0, self._free_at - now))
        self._free_at = max(self._free_at, now) + nbytes / self.nbytes_per_s
