"""Which user name somebody gets at the first login. Pure.

A name is a wish: it never says who somebody is. So a name that is taken, by whomever, gets a number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import InvalidName
from ..names import check_not_reserved, check_segment

MAX_LENGTH = 64
TRIES = 100
FALLBACK = "user"
_FOREIGN = re.compile(r"[^a-z0-9_.-]+")
_REPEATED = re.compile(r"[.-]{2,}")


def wished_names(claims: Mapping[str, Any], claim: str) -> Iterator[str]:
    """Valid user names from best to worst: of the claim, else of the e-mail address, then with numbers."""
    first = _cleaned(str(claims.get(claim) or claims.get("email") or FALLBACK))
    yield first
    yield from (f"{first}-{number}" for number in range(2, TRIES))


def _cleaned(wish: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", wish.partition("@")[0]).encode("ascii", "ignore").decode()
    name = _REPEATED.sub("-", _FOREIGN.sub("-", ascii_only.lower()))[:MAX_LENGTH].strip(".-").removesuffix(".git")
    try:
        return check_not_reserved(check_segment(name))
    except InvalidName:
        return FALLBACK


def groups_of(claims: Mapping[str, Any], claim: str) -> set[str]:
    """The groups that a claim lists; some issuers send one as a plain string."""
    found = claims.get(claim) or []
    return {found} if isinstance(found, str) else {str(group) for group in found if isinstance(found, list)}


def names_in(setting: str) -> set[str]:
    """The names of a comma-separated setting."""
    return {name.strip() for name in setting.split(",") if name.strip()}
