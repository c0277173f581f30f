"""Errors raised by freebits_codecs.

CodecError
  FormatError                 the bytes are not what they claim
    TruncatedContainer        the container ends early; more bytes would help
    CorruptContainer          no retry of the same bytes will help
    DigestMismatch            decoded, and not the bytes that were encoded
    UnusableCheckpoint        a model's files are damaged or do not fit together
  UnsupportedFormat           newer than this library; upgrading helps
  UnexpectedForm              a symmetric form where a plain file was wanted, or the reverse
  LimitExceeded               refused before allocating
  NotSymmetric                the model has not the symmetry that was asked for, or may not use it
  CannotReproduce             a symmetric form is whole, but does not give its file here
  MissingLibrary              an optional dependency is not installed
InvalidTensor (ValueError)    the caller passed something that cannot be encoded
"""

from __future__ import annotations

SHOWN_LENGTH = 200
"""Characters that a message shows of what a file says: it may say anything, at any length."""


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."


class CodecError(Exception):
    """Base of everything this package raises about containers."""


class FormatError(CodecError):
    """The bytes are not what they claim to be."""


class TruncatedContainer(FormatError):
    """The container ends before its footer.

    >>> raise TruncatedContainer("chunk record header", offset=16, found=3, expected=16)
    Traceback (most recent call last):
    freebits_codecs.errors.TruncatedContainer: container ends inside its chunk record header at byte 16: \
found 3 bytes, expected 16; fetch the rest or encode again
    """

    def __init__(self, what: str, *, offset: int, found: int, expected: int) -> None:
        self.what, self.offset, self.found, self.expected = what, offset, found, expected
        super().__init__(
            f"container ends inside its {what} at byte {offset}: found {found} bytes, expected {expected}; "
            "fetch the rest or encode again"
        )


class CorruptContainer(FormatError):
    """A part of the container contradicts itself or its checksum. `chunk` is None outside chunks."""

    def __init__(self, what: str, *, found: object, expected: object, chunk: int | None = None) -> None:
        self.what, self.found, self.expected, self.chunk = what, found, expected, chunk
        place = "" if chunk is None else f"chunk {chunk}: "
        super().__init__(
            f"{place}{_shortened(what)}: found {_shortened(found)}, expected {expected}; fetch or encode the file again"
        )


class DigestMismatch(FormatError):
    """Everything decoded, but the result is not the file that was encoded."""

    def __init__(self, *, found: str, expected: str) -> None:
        self.found, self.expected = found, expected
        super().__init__(
            f"decoded bytes have SHA-256 {found}, the container says {expected}; "
            "do not use them, fetch or encode the file again"
        )


class UnusableCheckpoint(FormatError):
    """A part of a checkpoint is missing, or is not what the rest of it says."""

    def __init__(self, what: str, *, found: object, expected: str, hint: str = "fetch or make it again") -> None:
        self.what, self.found, self.expected = what, found, expected
        super().__init__(f"{what}: found {found}, expected {expected}; {hint}")


class UnsupportedFormat(CodecError):
    """The container needs a newer freebits.

    >>> raise UnsupportedFormat(found=3, supported=1)
    Traceback (most recent call last):
    freebits_codecs.errors.UnsupportedFormat: container format version 3 exceeds supported 1; upgrade freebits
    """

    def __init__(self, *, found: int, supported: int, what: str = "container format version") -> None:
        self.found, self.supported, self.what = found, supported, what
        super().__init__(f"{what} {found} exceeds supported {supported}; upgrade freebits")


class UnexpectedForm(CodecError):
    """The container's original is (or is not) a symmetric form, and the reader was not meant for it."""

    def __init__(self, *, is_symmetric: bool) -> None:
        self.is_symmetric = is_symmetric
        found, expected, hint = (
            ("a symmetric form", "a plain file", "give it to freebits_codecs.symmetry.expand")
            if is_symmetric
            else ("a plain file", "a symmetric form", "decode it as it is")
        )
        super().__init__(f"the container holds {found}, expected {expected}; {hint}")


class NotSymmetric(CodecError):
    """The model has not the symmetry that was asked for, or using it would hurt it; nothing was changed.

    `reason` says what was found and expected, `hint` what to do instead.
    """

    def __init__(self, reason: str, hint: str) -> None:
        self.reason, self.hint = reason, hint
        super().__init__(f"{reason}; {hint}")


class CannotReproduce(CodecError):
    """This machine's arithmetic does not give the tensor that was encoded; its digest says so, nothing was written."""

    def __init__(self, what: str, *, found: str, expected: str) -> None:
        self.what, self.found, self.expected = what, found, expected
        super().__init__(
            f"{what}: found digest {found}, expected {expected}; the symmetric form is intact, expand it "
            "with another linear-algebra library or on another machine"
        )


class MissingLibrary(CodecError):
    """An optional dependency is needed for this, and is not installed."""

    def __init__(self, library: str, purpose: str, extra: str) -> None:
        self.library, self.purpose, self.extra = library, purpose, extra
        super().__init__(f'{purpose} needs {library}, which is not installed; run: pip install "freebits[{extra}]"')


class LimitExceeded(CodecError):
    """A declared size is over the format's limit; refused before anything was allocated."""

    def __init__(self, what: str, *, found: int, limit: int) -> None:
        self.what, self.found, self.limit = what, found, limit
        super().__init__(f"{what} is {found}, the limit is {limit}; this is not a container freebits wrote")


class InvalidTensor(ValueError):
    """The caller passed something that cannot be encoded."""
