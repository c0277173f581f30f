"""The worker that ``freebits serve`` keeps beside itself. Reads its settings from the environment."""

from __future__ import annotations

from .. import logs, settings
from .process import run

if __name__ == "__main__":
    chosen = settings.load()
    logs.configure(chosen.log_level)
    run(chosen, embedded=True)
