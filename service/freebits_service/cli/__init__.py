"""Commands of the service, found by the client through the entry points ``freebits.commands``. One file each."""

from __future__ import annotations

from .serve import serve

__all__ = ["serve"]
