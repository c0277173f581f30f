"""Tokens stored by `freebits login` in $XDG_CONFIG_HOME/freebits/credentials.json, mode 0600."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from freebits.errors import UsageError


class Credentials:
    """The credentials file; reads on construction, writes on `store` and `drop`."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or config_folder() / "credentials.json"
        self._data = self._read()

    @property
    def last_endpoint(self) -> str | None:
        """The endpoint of the last login."""
        last: str | None = self._data.get("last")
        return last

    def token(self, endpoint: str) -> str | None:
        """The token stored for `endpoint`."""
        token: str | None = self._data["tokens"].get(endpoint)
        return token

    def store(self, endpoint: str, token: str) -> None:
        """Remember `token`, and `endpoint` as the default one."""
        self._data["tokens"][endpoint] = token
        self._data["last"] = endpoint
        self._write()

    def drop(self, endpoint: str) -> bool:
        """Forget the token of `endpoint`; False when there was none."""
        if self._data["tokens"].pop(endpoint, None) is None:
            return False
        if self._data.get("last") == endpoint:
            del self._data["last"]
        self._write()
        return True

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {"tokens": {}}
        except ValueError:
            data = None
        if not isinstance(data, dict) or not isinstance(data.get("tokens"), dict):
            raise UsageError(f"{self.path} cannot be read as credentials; remove it and run `freebits login`")
        return data

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_suffix(f".{os.getpid()}.tmp")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(self._data, file, indent=2)
        draft.replace(self.path)


def config_folder() -> Path:
    """$XDG_CONFIG_HOME/freebits, by default ~/.config/freebits."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "freebits"
