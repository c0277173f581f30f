"""What repos, refs and files may be called. Pure; every name that enters the hub passes through here once."""

from __future__ import annotations

import re

from .errors import InvalidName, InvalidPath

MAX_PATH_NBYTES = 1024
MAX_REF_NBYTES = 255
DEFAULT_BRANCH = "main"
# First segments of the hub's own paths, and of those that Hugging Face clients ask for.
RESERVED_NAMESPACES = frozenset(
    {"api", "buckets", "collections", "datasets", "healthz", "kernels", "lfs", "metrics", "models", "oauth", "readyz"}
    | {"settings", "spaces", "xet"}
)

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


def check_segment(segment: str, what: str = "name") -> str:
    """A user, namespace or repo name.

    Raises
    ------
    InvalidName
        Not 1 to 96 of ``A-Z a-z 0-9 _ . -``, begins with a dot or dash, has ``..`` or ``--``, or ends in
        ``.git``.
    """
    if not _SEGMENT.fullmatch(segment):
        raise InvalidName(
            f"{what} {segment[:120]!r} must be 1 to 96 of A-Z a-z 0-9 _ . - and not begin with a dot or dash",
            name=segment[:120],
        )
    if ".." in segment or "--" in segment or segment.endswith((".git", ".")):
        raise InvalidName(f"{what} {segment!r} must not contain '..' or '--' or end in '.' or '.git'", name=segment)
    return segment


def check_not_reserved(namespace: str) -> str:
    """A namespace whose repos can be told from other paths of the hub; raises InvalidName."""
    if namespace.lower() in RESERVED_NAMESPACES:
        raise InvalidName(f"{namespace!r} is a reserved name; choose another one", name=namespace)
    return namespace


def split_repo_name(full_name: str) -> tuple[str, str]:
    """``namespace/name`` in its two parts, both checked; raises InvalidName."""
    namespace, slash, name = full_name.partition("/")
    if not slash:
        raise InvalidName(f"repo name {full_name[:200]!r} must be NAMESPACE/NAME", name=full_name[:200])
    return check_segment(namespace, "namespace"), check_segment(name, "repo name")


def check_ref_name(name: str) -> str:
    """A branch or tag name by git's rules, and not something that reads as a commit id; raises InvalidName."""
    too_long = len(name.encode("utf-8", "surrogatepass")) > MAX_REF_NBYTES
    parts = name.split("/")
    bad = (
        not name
        or too_long
        or name == "@"
        or _REF_FORBIDDEN.search(name)
        or _CONTROL.search(name)
        or name.startswith("-")
        or name.endswith(".")
        or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if bad:
        raise InvalidName(f"{name[:255]!r} is not a valid branch or tag name (git's rules)", name=name[:255])
    if is_commit_id(name):
        raise InvalidName(f"{name!r} reads as a commit id; choose another branch or tag name", name=name)
    return name


def check_path(path: str) -> str:
    """A file path inside a repo: relative, normalised, UTF-8, at most 1024 bytes; raises InvalidPath."""
    shown = path[:200]
    if not path:
        raise InvalidPath("the path is empty", path=shown)
    if _CONTROL.search(path):
        raise InvalidPath(f"path {shown!r} contains a control character", path=ascii(shown))
    if "\\" in path:
        raise InvalidPath(f"path {shown!r} contains a backslash; separate folders by '/'", path=shown)
    if any(segment in {"", ".", ".."} for segment in path.split("/")):
        raise InvalidPath(f"path {shown!r} must be relative and have no empty, '.' or '..' segment", path=shown)
    if len(path.encode()) > MAX_PATH_NBYTES:
        raise InvalidPath(f"path {shown!r}... is longer than {MAX_PATH_NBYTES} bytes", path=shown)
    return path


def is_commit_id(text: str) -> bool:
    """Whether `text` has the form of a commit id (40 lower-case hex digits)."""
    return _COMMIT_ID.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether `text` has the form of a SHA-256 (64 lower-case hex digits)."""
    return _SHA256.fullmatch(text) is not None
