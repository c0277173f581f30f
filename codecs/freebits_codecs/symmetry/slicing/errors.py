"""Errors of slicing and of running sliced models; all are CodecErrors.

CodecError
  UnsupportedModel            an architecture, or a setting of one, that is not known here
  InvalidSlicing (ValueError) the caller's options or text do not fit the model
  NotSliced                   a dense checkpoint where a sliced one was wanted
  FormatError
    UnusableCheckpoint        config, tensors or tokenizer are not what they should be; of freebits_codecs.errors
"""

from __future__ import annotations

from freebits_codecs.errors import CodecError, UnusableCheckpoint

__all__ = ["InvalidSlicing", "NotSliced", "UnsupportedModel", "UnusableCheckpoint"]


class UnsupportedModel(CodecError):
    """The model computes something that this package does not know; nothing was read beyond its config.

    >>> raise UnsupportedModel("model_type", found="mamba", expected="one of llama, opt")
    Traceback (most recent call last):
    freebits_codecs.symmetry.slicing.errors.UnsupportedModel: config.json: model_type is 'mamba', expected one of \
llama, opt; this model cannot be sliced or run here
    """

    def __init__(self, setting: str, *, found: object, expected: str) -> None:
        self.setting, self.found, self.expected = setting, found, expected
        super().__init__(
            f"config.json: {setting} is {found!r}, expected {expected}; this model cannot be sliced or run here"
        )


class InvalidSlicing(CodecError, ValueError):
    """An option or a text does not fit the model; nothing was written."""

    def __init__(self, what: str, *, found: object, expected: str) -> None:
        self.what, self.found, self.expected = what, found, expected
        super().__init__(f"{what}: found {found}, expected {expected}")


class NotSliced(CodecError):
    """The checkpoint is a dense one."""

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(
            f"{where}: found no tensor whose name ends in .attn_shortcut_Q, expected a sliced checkpoint; "
            "slice it first (`freebits slice`), or load it with load_dense"
        )
