"""What a repo is called on the upstream, and the paths that it has there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from ..hf.addresses import FOLDERS, KINDS

PATHS: Mapping[str, str] = {kind: kinds for kinds, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Address:
    """A repo of the upstream."""

    kind: str
    namespace: str
    name: str

    @property
    def full_name(self) -> str:
        """How it is called there and here."""
        return f"{self.namespace}/{self.name}"

    @property
    def api(self) -> str:
        """Path of what is said about it."""
        return f"/api/{PATHS[self.kind]}/{self.full_name}"

    def file(self, commit: str, path: str) -> str:
        """Path of a file's bytes."""
        return f"/{FOLDERS[self.kind]}{self.full_name}/resolve/{commit}/{quote(path)}"
