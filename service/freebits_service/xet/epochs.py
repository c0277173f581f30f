"""How long a Xet client may refer to xorbs that it sent before.

A client keeps a list of the chunks it sent, by the address it sent them to, and does not send those again. A new
address at the beginning of each epoch makes it forget, so that xorbs need not be kept for the three weeks that it
would remember otherwise.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

EPOCH_S = 86400
AFTERWARDS_S = 2 * 86400  # an upload that began in an epoch may go on for so long after it


def current_epoch() -> int:
    """The number of this epoch."""
    return int(time.time()) // EPOCH_S


def kept_until() -> datetime:
    """Until when a xorb is kept that arrives now."""
    return datetime.fromtimestamp((current_epoch() + 1) * EPOCH_S + AFTERWARDS_S, UTC)
