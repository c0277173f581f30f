"""``freebits worker`` as a process of its own, which tests stop, freeze and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil


@dataclass
class WorkerProcess:
    """``freebits worker`` beside a hub."""

    flags: list[str]
    database_url: str
    log_path: Path
    limits: Callable[[], None] | None = None
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Start it."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "freebits", "worker", *self.flags],
                env={**os.environ, "FREEBITS_DATABASE_URL": self.database_url},
                stdout=log,
                stderr=log,
                preexec_fn=self.limits,  # noqa: PLW1509 - sets a limit, takes no lock
            )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it logged of this kind."""
        found = []
        for line in self.log_path.read_text().splitlines():
            if event in line:  # tests ask every few milliseconds
                with suppress(ValueError):
                    found.append(json.loads(line))
        return [line for line in found if line.get("event") == event]

    def signal(self, number: int) -> None:
        """Send a signal to it and its encoder."""
        family = psutil.Process(self.process.pid)
        for process in [family, *family.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, of its encoder too: a node that is gone."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait()
