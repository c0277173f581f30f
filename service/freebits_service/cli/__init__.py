"""Commands of the service, found by the client through the entry points ``freebits.commands``. One file each."""

from __future__ import annotations

from .fsck import fsck
from .gc import gc
from .migrate import migrate
from .serve import serve
from .worker import worker

__all__ = ["fsck", "gc", "migrate", "serve", "worker"]
