"""Errors a user of the client can catch.

FreebitsError                 everything this package raises on purpose
  UsageError                  arguments that make no sense together; nothing was sent
  TransportError              the hub cannot be reached or broke off, after retries; the same call again
  resumes ProtocolError               an answer that no freebits hub gives; probably the wrong endpoint
  APIError                    the hub answered with an error: code, status, detail, request_id
    NotFound                  no such repo, revision, file (or it is private and you are a stranger)
    NotAllowed                token missing, wrong or not sufficient
    InvalidRequest            the hub refuses a name, a path or a size
    Conflict                  something exists already
      HeadMoved               another commit arrived first and touches the same files
    HubFull                   no space or quota left at the hub
    RefusedBytes              the bytes that arrived at the hub do not have the announced digest
    Damaged                   the hub's copy of a file is damaged; it serves nothing rather than wrong bytes
  IntegrityError              bytes received, or found in a file, do not have the digest they should have
  UnsafePath                  the hub names a file that would land outside the output folder
  NoSpace                     no room on the local disk
  JobFailed                   the hub gave up work that the caller waited for
  Interrupted                 stopped by the caller
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class FreebitsError(Exception):
    """Base of every error of this package."""


class UsageError(FreebitsError):
    """Arguments that make no sense; nothing was sent."""


class TransportError(FreebitsError):
    """The hub could not be reached, or broke off, and retrying did not help."""


class ProtocolError(FreebitsError):
    """The answer is not one that a freebits hub gives."""


class IntegrityError(FreebitsError):
    """Bytes do not have the SHA-256 they should have."""


class UnsafePath(FreebitsError):
    """A path that would be written outside the output folder."""


class NoSpace(FreebitsError):
    """No room on the local disk."""


class JobFailed(FreebitsError):
    """Work of the hub that the caller waited for ended without a result; `state` is "parked" or "cancelled"."""

    def __init__(self, job: int, state: str, outcome: str) -> None:
        self.job, self.state, self.outcome = job, state, outcome
        super().__init__(f"job {job} is {state}: {outcome}")


class Interrupted(FreebitsError):
    """The caller stopped the transfer."""


class APIError(FreebitsError):
    """The hub answered with an error.

    Attributes: `code` (stable, e.g. "REPO_NOT_FOUND"), `status` (HTTP), `detail` (facts, depends on the
    code), `request_id` (what the hub's log calls this request; None when the hub did not say).
    """

    advice = ""

    def __init__(
        self, message: str, *, code: str, status: int, detail: Any = None, request_id: str | None = None
    ) -> None:
        self.code, self.status, self.detail, self.request_id = code, status, detail, request_id
        facts = f"{code}, HTTP {status}" + (f", request {request_id}" if request_id else "")
        # A hub that knows what to do says so behind a semicolon; its advice is closer to the case than ours.
        advice = f"; {self.advice}" if self.advice and ";" not in message else ""
        super().__init__(f"{message.rstrip('.')} ({facts}){advice}")


class NotFound(APIError):
    """No such repo, revision, file or upload."""

    advice = "check the name, and `freebits whoami`: private repos look absent to strangers"


class NotAllowed(APIError):
    """Token missing, wrong or not sufficient."""

    advice = "run `freebits login`, or set FREEBITS_TOKEN to a token that may do this"


class InvalidRequest(APIError):
    """The hub refuses a name, a path or a size."""


class Conflict(APIError):
    """Something with this name exists already."""


class HeadMoved(Conflict):
    """Another commit arrived first and touches the same files."""

    advice = "pull, look at what changed, then push again"


class HubFull(APIError):
    """No space or quota left at the hub."""

    advice = "delete what is no longer needed (`freebits rm`) or ask the hub's administrator for room"


class RefusedBytes(APIError):
    """What arrived at the hub is not what was announced."""

    advice = "the file probably changed while it was sent; run the same command again"


class Damaged(APIError):
    """The hub's copy of a file is missing or damaged."""


class HubFault(TransportError):
    """The hub answered 5xx or 429 to every try."""


_BY_CODE: dict[str, type[APIError]] = {
    "HEAD_MOVED": HeadMoved,
    "STORAGE_FULL": HubFull,
    "TOO_LARGE": HubFull,
    "QUOTA_EXCEEDED": HubFull,
    "BLOB_DAMAGED": Damaged,
}
_BY_STATUS: dict[int, type[APIError]] = {
    400: InvalidRequest,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: HubFull,
    422: InvalidRequest,
    507: HubFull,
}


class RateLimited(HubFault):
    """The hub said "too many requests" to every try."""


def api_error(status: int, body: object) -> FreebitsError:
    """The error that an answer with `status` >= 300 and the decoded JSON `body` stands for."""
    if not isinstance(body, Mapping) or not isinstance(body.get("code"), str):
        return _foreign_answer(status)
    code, message = body["code"], str(body.get("message") or "the hub refused")
    request_id = body.get("request_id")
    kind = _BY_CODE.get(code) or (RefusedBytes if code.endswith("_MISMATCH") else _BY_STATUS.get(status))
    if status == 429:
        return RateLimited(f"{message} ({code}, HTTP 429); run the same command again later, it resumes")
    if kind is None and status >= 500:
        where = f", request {request_id}" if request_id else ""
        return HubFault(f"{message} ({code}, HTTP {status}{where}); run the same command again, it resumes")
    return (kind or APIError)(
        message, code=code, status=status, detail=body.get("detail"), request_id=str(request_id or "") or None
    )


def _foreign_answer(status: int) -> FreebitsError:
    if status >= 500 or status == 429:
        return HubFault(f"HTTP {status} without an explanation; run the same command again, it resumes")
    return ProtocolError(
        f"HTTP {status} without a freebits error; check that the endpoint is a freebits hub (`--endpoint`)"
    )
