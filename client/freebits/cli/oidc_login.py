"""``freebits login --oidc``: log in with a browser at the issuer that the hub trusts.

The browser is sent back to this machine, where a server waits for one request. The PKCE verifier is made here and
leaves only at the end, so nobody who sees the browser's URLs can finish the login.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import queue
import secrets
import socket
import sys
import threading
import webbrowser
from argparse import Namespace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from freebits import wire_accounts as wire
from freebits.cli.transfers import connect
from freebits.errors import NotAllowed, ProtocolError

PATH = "/callback"
DONE = b"You are logged in to freebits. Close this window and go back to the terminal.\n"
REFUSED = b"The login did not work; the terminal says why.\n"


def token_by_oidc(options: Namespace) -> str:
    """The token that the hub answers a finished login with."""
    verifier = secrets.token_urlsafe(48)
    with connect(options) as hub, _Callback() as callback:
        begun = hub.ask(wire.begin_login(callback.url, _challenge(verifier)))
        state = str(begun["state"])
        callback.expect(state)
        _send_browser(str(begun["authorize_url"]), open_one=not options.no_browser)
        code = callback.wait(float(begun["expires_in_s"]))
        reply = hub.ask(wire.finish_login(state, code, verifier, label=_label(), scope=options.scope))
    if not isinstance(reply, dict) or not isinstance(reply.get("token"), str):
        raise ProtocolError("the hub's answer lacks a token; check that the endpoint is a freebits hub")
    token: str = reply["token"]
    return token


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _label() -> str:
    return f"oidc {socket.gethostname()}"[:96]


def _send_browser(url: str, *, open_one: bool) -> None:
    print(f"freebits: log in at\n\n  {url}\n", file=sys.stderr, flush=True)
    if open_one:
        webbrowser.open(url)


class _Callback:
    """A server on the loopback address that takes the first answer with the right state."""

    def __init__(self) -> None:
        answers: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        self._answers, self._state = answers, ""
        callback = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                if parts.path != PATH or not callback.is_expected(query.get("state", "")):
                    self.send_error(404)
                    return
                text = DONE if "code" in query else REFUSED
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(text)
                answers.put(query)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the path holds the code."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def __enter__(self) -> _Callback:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def expect(self, state: str) -> None:
        """Take answers to the login of this state only."""
        self._state = state

    def is_expected(self, state: str) -> bool:
        """Whether an answer belongs to the login that was begun here."""
        return bool(self._state) and hmac.compare_digest(state.encode(), self._state.encode())

    def wait(self, timeout_s: float) -> str:
        """The code; raises NotAllowed when the issuer refused or nobody came back in time."""
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            answer = {"error": f"nobody logged in within {timeout_s:.0f} s"}
        if "code" not in answer:
            reason = answer.get("error_description") or answer.get("error", "no code")
            raise NotAllowed(f"the login was not finished: {reason[:200]}", code="LOGIN_REFUSED", status=403)
        return answer["code"]
