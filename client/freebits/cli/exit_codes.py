"""The exit codes, and the one table from errors to them.

0 ok, 1 other, 2 usage, 3 not found, 4 not allowed, 5 network, 6 integrity, 7 no space or quota, 130
interrupted.
"""

from __future__ import annotations

from freebits import errors
from freebits.running_out import no_space

OTHER, USAGE, NOT_FOUND, NOT_ALLOWED, NETWORK, INTEGRITY, NO_SPACE, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 130

_TABLE: tuple[tuple[type[BaseException], int], ...] = (
    (errors.NotFound, NOT_FOUND),
    (errors.NotAllowed, NOT_ALLOWED),
    (errors.InvalidRequest, USAGE),
    (errors.UsageError, USAGE),
    (errors.TransportError, NETWORK),
    (errors.RefusedBytes, INTEGRITY),
    (errors.IntegrityError, INTEGRITY),
    (errors.Damaged, INTEGRITY),
    (errors.UnsafePath, INTEGRITY),
    (errors.HubFull, NO_SPACE),
    (errors.NoSpace, NO_SPACE),
    (errors.Interrupted, INTERRUPTED),
    (errors.FreebitsError, OTHER),
    (FileNotFoundError, NOT_FOUND),
    (NotADirectoryError, NOT_FOUND),
    (FileExistsError, USAGE),
    (IsADirectoryError, USAGE),
    (PermissionError, NOT_ALLOWED),
    (OSError, OTHER),
)


def exit_code(error: BaseException) -> int | None:
    """The exit code for `error`; None for a bug, which deserves its traceback."""
    if isinstance(error, OSError) and no_space(error):
        return NO_SPACE
    found = next((code for kind, code in _TABLE if isinstance(error, kind)), None)
    return _codec_exit_code(error) if found is None else found


def explain(error: BaseException) -> str:
    """One line for stderr."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        advice = "; make room and run the same command again" if no_space(error) else ""
        return f"{place}{error.strerror}{advice}"
    return str(error) or type(error).__name__


def _codec_exit_code(error: BaseException) -> int | None:
    """Errors of the codecs; looked at last, because importing them costs 0.1 s."""
    from freebits_codecs import errors as codec_errors  # noqa: PLC0415

    if isinstance(error, codec_errors.FormatError | codec_errors.LimitExceeded):
        return INTEGRITY
    return OTHER if isinstance(error, codec_errors.CodecError) else None
