"""The certificates that hubs are checked against, read once and not before a connection needs them.

Reading them takes 40 ms of every command, and a hub at http:// needs none.
"""

from __future__ import annotations

import os
import ssl
import threading
from typing import Any


class Certificates(ssl.SSLContext):
    """A context for clients: hosts must prove who they are, to the certificates that httpx takes by default.

    Those of SSL_CERT_FILE, else of SSL_CERT_DIR, else of the package certifi. Before they are read nobody is trusted.
    """

    def __new__(cls) -> Certificates:
        """With host names and certificates checked, as this protocol does from the start."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_read = False

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """As of SSLContext."""
        self._read()
        return super().wrap_socket(*arguments, **options)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """As of SSLContext."""
        self._read()
        return super().wrap_bio(*arguments, **options)

    def _read(self) -> None:
        with self._lock:
            if self._is_read:
                return
            if file := os.environ.get("SSL_CERT_FILE"):
                self.load_verify_locations(cafile=file)
            elif folder := os.environ.get("SSL_CERT_DIR"):
                self.load_verify_locations(capath=folder)
            else:
                import certifi  # noqa: PLC0415  comes with httpx

                self.load_verify_locations(cafile=certifi.where())
            self._is_read = True
