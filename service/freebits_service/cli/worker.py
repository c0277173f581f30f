"""``freebits worker``: encode what was pushed, as one of any number of workers, anywhere.

It needs the database and the store of the hub by its settings, and nothing else of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .. import logs, settings
from ..workers.process import run
from .outcome import reported


def worker(argv: Sequence[str]) -> int:
    """Work until told to stop; SIGTERM hands the running job back at once. The exit status."""
    with reported("worker") as outcome:
        chosen = settings.load(list(argv), command="worker")
        logs.configure(chosen.log_level)
        if chosen.cuda_device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = chosen.cuda_device  # for the encoder, which is a child
        run(chosen)
    return outcome.status
