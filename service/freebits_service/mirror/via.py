"""Which hubs a question has come through, so that hubs that mirror each other do not ask in circles.

The ``Via`` header of RFC 9110, as proxies use it: each process adds a name that no other has.
"""

from __future__ import annotations

import secrets

MOST_HUBS = 8
_ME = f"freebits-{secrets.token_hex(8)}"


def extended(via: str) -> str:
    """The header of a request that this process makes because of one that came with `via`."""
    return f"{via}, 1.1 {_ME}".lstrip(", ")


def may_ask(via: str) -> bool:
    """Whether the upstream may be asked on behalf of a request that came with `via`."""
    return _ME not in via and via.count("freebits-") < MOST_HUBS
