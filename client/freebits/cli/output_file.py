"""A file that a command writes: complete under its name, or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from freebits.errors import UsageError

STDIO = "-"


@contextmanager
def output_file(name: str, *, force: bool, like: Path | None = None) -> Iterator[BinaryIO]:
    """A binary file to write to; `name` "-" is stdout.

    The bytes go to a draft beside it, which gets the name at the end: with mode and times of `like`,
    replacing an existing file only with `force`. An error on the way removes the draft. Devices and pipes are
    written directly.
    """
    if name == STDIO:
        yield _stdout(force)
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(name))
    if target.exists() and not target.is_file():
        if target.is_dir():
            raise UsageError(f"{name} is a folder; give -o a file name")
        with target.open("wb") as device:
            yield device
        return
    check_free(target, force=force, like=like)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:  # named before it is made: an interrupt in between leaves nothing
        with open(draft, "x+b", opener=_private) as file:
            yield file
        _dress(draft, like)
        _name(draft, target, force=force)
    finally:
        draft.unlink(missing_ok=True)


def check_free(target: Path, *, force: bool, like: Path | None) -> None:
    """Raise UsageError when `target` is the input, or exists and may not be replaced."""
    if like and target.exists() and target.samefile(like):
        raise UsageError(f"{target} is input and output at once; choose another name with -o")
    if target.exists() and not force:
        raise _exists(target)


def _private(path: str, flags: int) -> int:
    """Nobody else reads a draft."""
    return os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)


def _stdout(force: bool) -> BinaryIO:
    if sys.stdout.isatty() and not force:
        raise UsageError("refusing to write binary data to a terminal; redirect it, or give -o, or -f")
    return sys.stdout.buffer


def _dress(draft: Path, like: Path | None) -> None:
    if like and like.is_file():
        shutil.copystat(like, draft)
        return
    umask = os.umask(0)
    os.umask(umask)
    draft.chmod((stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH) & ~umask)


def _name(draft: Path, target: Path, *, force: bool) -> None:
    if force:
        draft.replace(target)
        return
    try:
        # link() refuses to replace a file that appeared meanwhile, which rename() would not.
        os.link(draft, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:
        draft.replace(target)


def _exists(target: Path) -> UsageError:
    return UsageError(f"{target} exists; give -f to replace it, or another name with -o")


@contextmanager
def input_file(name: str) -> Iterator[BinaryIO]:
    """A binary file to read; `name` "-" is stdin."""
    if name == STDIO:
        if sys.stdin.isatty():
            raise UsageError("refusing to read binary data from a terminal; pipe it in, or name a file")
        yield sys.stdin.buffer
        return
    with contextlib.closing(Path(name).open("rb")) as file:
        yield file
