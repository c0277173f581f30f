"""``freebits serve``: one command that runs a whole hub.

Migrates the database when it is its own or ``--migrate`` asks for it, makes the admin, listens, and keeps a worker
process; ends cleanly on SIGTERM and SIGINT.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from contextlib import closing
from types import FrameType

import uvicorn

from .. import logs, settings, telemetry
from ..accounts.operations import ensure_admin, new_admin_token
from ..allocator import reuse_freed_memory
from ..app import create_app
from ..connections import guarded_protocol, make_room_for_files
from ..context import Hub, open_hub
from ..draining import DrainingServer
from ..lock import hold_folder
from ..migrate import require_current, upgrade
from ..settings import InvalidSettings, Settings
from ..supervisor import WorkerSupervisor
from .outcome import INTERRUPTED, OK, reported

NEW_TOKEN_FLAG = "--new-admin-token"


def serve(argv: Sequence[str]) -> int:
    """Run a hub until it is told to stop; the exit status.

    With ``--new-admin-token`` it only makes one more token for the admin of a hub, prints it and ends.
    """
    arguments = list(argv)
    wants_token = NEW_TOKEN_FLAG in arguments
    with reported("serve") as outcome:
        chosen = settings.load([argument for argument in arguments if argument != NEW_TOKEN_FLAG])
        outcome.status = _print_new_token(chosen) if wants_token else _serve(chosen)
    return outcome.status


def _print_new_token(chosen: Settings) -> int:
    hub = open_hub(chosen)
    _prepare_database(hub)
    ensure_admin(hub.db, "")
    print(new_admin_token(hub.db))
    return OK


def _serve(chosen: Settings) -> int:
    logs.configure(chosen.log_level)
    reuse_freed_memory()
    signals = _Signals()
    with hold_folder(chosen.data), closing(_listen(chosen)) as listening:
        hub = open_hub(chosen)
        _prepare_database(hub)
        token = ensure_admin(hub.db, chosen.admin_token.get_secret_value())
        supervisor = WorkerSupervisor(chosen) if chosen.worker else None
        if supervisor is not None:
            supervisor.start()
        try:
            listening.listen()  # who reads the greeting may connect at once
            _greet(chosen, listening.getsockname()[1], token)
            return _run(hub, listening, signals)
        finally:
            if supervisor is not None:
                supervisor.stop()
            hub.db.close()


def _prepare_database(hub: Hub) -> None:
    if hub.settings.migrates_at_start:
        upgrade(hub.settings.sqlalchemy_url)
    require_current(hub.db)


def _listen(chosen: Settings) -> socket.socket:
    """A socket of our own, so that a taken port is one clear line and port 0 can be printed."""
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((chosen.host, chosen.port))
    except OSError as error:
        listening.close()
        raise InvalidSettings(f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror}") from None
    return listening


class _Signals:
    """Notes SIGINT and SIGTERM from the first moment on, and passes them to the server once there is one."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.server: uvicorn.Server | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        if self.server is not None:
            self.server.should_exit = True

    def exit_status(self) -> int:
        """Of a hub that was told to stop."""
        return INTERRUPTED if signal.SIGINT in self.received else OK


def _run(hub: Hub, listening: socket.socket, signals: _Signals) -> int:
    make_room_for_files(hub.settings)
    app = create_app(hub.settings, hub)
    telemetry.configure(hub.settings, "freebits-api", hub, app)
    config = uvicorn.Config(
        app,
        http=guarded_protocol(hub.settings),
        loop="uvloop",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # the app decides whom to believe, by `forwarded_allow`
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(hub.settings.shutdown_grace_s),
    )
    signals.server = DrainingServer(config, app.state.draining, hub.settings.shutdown_delay_s)
    if not signals.received:
        # It has handlers of its own while it runs, and afterwards raises what it got again, for ours to note.
        signals.server.run(sockets=[listening])
    telemetry.stop()
    return signals.exit_status()


def _greet(chosen: Settings, port: int, token: str | None) -> None:
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    url = chosen.public_url.rstrip("/") or f"http://{host}:{port}"
    preset = bool(chosen.admin_token.get_secret_value())
    shown = '"$FREEBITS_ADMIN_TOKEN"' if preset else token or "TOKEN"
    lines = [
        f"freebits hub on {url}, data in {chosen.data}",
        "",
        f"  log in   freebits login --endpoint {url} --token {shown}",
        "  push     freebits push model.safetensors admin/my-model",
        "  pull     freebits pull admin/my-model -o my-model",
    ]
    if token is None:
        lines.append(
            f"  The token was shown at the first start; for another one: freebits serve {NEW_TOKEN_FLAG} "
            f"--data {chosen.data}"
        )
    print("\n".join([*lines, ""]), flush=True)
