"""Answers become typed errors, errors become exit codes and advice."""

from __future__ import annotations

import errno

import pytest

from freebits import errors
from freebits.cli.exit_codes import exit_code, explain
from freebits.errors import api_error
from freebits_codecs import errors as codec_errors


@pytest.mark.parametrize(
    ("status", "code", "kind", "exits_with"),
    [
        (401, "UNAUTHENTICATED", errors.NotAllowed, 4),
        (403, "FORBIDDEN", errors.NotAllowed, 4),
        (404, "REPO_NOT_FOUND", errors.NotFound, 3),
        (404, "PATH_NOT_FOUND", errors.NotFound, 3),
        (409, "HEAD_MOVED", errors.HeadMoved, 1),
        (409, "REPO_EXISTS", errors.Conflict, 1),
        (413, "TOO_LARGE", errors.HubFull, 7),
        (422, "INVALID_NAME", errors.InvalidRequest, 2),
        (422, "DIGEST_MISMATCH", errors.RefusedBytes, 6),
        (507, "STORAGE_FULL", errors.HubFull, 7),
        (500, "INTERNAL", errors.HubFault, 5),
        (418, "TEAPOT", errors.APIError, 1),
    ],
)
def test_answers(status: int, code: str, kind: type[Exception], exits_with: int) -> None:
    """One class per reaction; the facts are kept."""
    body = {"code": code, "message": "Said the hub.", "detail": {"head": "x"}, "request_id": "r9"}
    error = api_error(status, body)
    assert type(error) is kind
    assert "r9" in str(error)
    assert exit_code(error) == exits_with
    if isinstance(error, errors.APIError):
        assert (error.code, error.status, error.detail, error.request_id) == (
            code,
            status,
            {"head": "x"},
            "r9",
        )


def test_answers_of_something_else_than_a_hub() -> None:
    """A web server's 404 page is not a missing repo."""
    assert isinstance(api_error(404, None), errors.ProtocolError)
    assert isinstance(api_error(502, None), errors.HubFault)
    assert isinstance(api_error(429, []), errors.HubFault)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.TransportError("x"), 5),
        (errors.IntegrityError("x"), 6),
        (errors.UnsafePath("x"), 6),
        (errors.NoSpace("x"), 7),
        (errors.Interrupted("x"), 130),
        (errors.ProtocolError("x"), 1),
        (FileNotFoundError(errno.ENOENT, "gone", "f"), 3),
        (PermissionError(errno.EACCES, "no", "f"), 4),
        (OSError(errno.ENOSPC, "full", "f"), 7),
        (OSError(errno.EDQUOT, "quota", "f"), 7),
        (codec_errors.FormatError("x"), 6),
        (codec_errors.LimitExceeded("x", found=2, limit=1), 6),
        (codec_errors.CodecError("x"), 1),
        (ZeroDivisionError(), None),
    ],
)
def test_exit_codes(error: Exception, code: int | None) -> None:
    """The table; a bug is not in it and keeps its traceback."""
    assert exit_code(error) == code


def test_a_full_disk_is_explained() -> None:
    """The file, the reason, what to do."""
    text = explain(OSError(errno.ENOSPC, "No space left on device", "model.fb"))
    assert text == "model.fb: No space left on device; make room and run the same command again"


def test_one_base_catches_all() -> None:
    """Everything in errors.py derives from FreebitsError."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, errors.FreebitsError) for kind in found)
