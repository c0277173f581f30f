"""What Hugging Face clients read of an error: two headers, by which they choose the exception they raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Their words for what the code of an error says; the exceptions of huggingface_hub are named after them.
_CODES: Mapping[str, str] = {
    "NOT_OFFERED": "NotOffered",
    "PATH_NOT_FOUND": "EntryNotFound",
    "REPO_NOT_FOUND": "RepoNotFound",
    "REVISION_NOT_FOUND": "RevisionNotFound",
}
# With any other words a client takes a 401 for a repo that is not there.
_BAD_TOKEN = "Invalid credentials in Authorization header"
_LONGEST = 1000


def hub_headers(code: str, message: str, detail: Mapping[str, Any]) -> dict[str, str]:
    """``X-Error-Code`` and ``X-Error-Message``, and the commit of a revision that lacks a file.

    Clients remember by the commit that there is no such file, and do not ask again.
    """
    bad_token = code == "UNAUTHENTICATED" and detail.get("reason") == "token"
    headers = {"X-Error-Message": _one_line(_BAD_TOKEN if bad_token else message)}
    if code in _CODES:
        headers["X-Error-Code"] = _CODES[code]
    if code == "PATH_NOT_FOUND" and "commit" in detail:
        headers["X-Repo-Commit"] = str(detail["commit"])
    return headers


def _one_line(message: str) -> str:
    """Printable ASCII, as a header must be; names in messages come from requests."""
    return message[:_LONGEST].encode("ascii", "backslashreplace").decode().translate(_CONTROLS)


_CONTROLS = dict.fromkeys((*range(32), 127), " ")
