"""A throw-away S3 server: OpenStack Swift with its S3 API, all of it in one process, so that one pid can be killed.

Swift lives in a virtual environment of its own (``make .venv/.s3``), because it brings eventlet, which patches the
standard library.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path

ACCESS_KEY, SECRET_KEY, REGION = "test:tester", "testing", "us-east-1"
START_TIMEOUT_S = 60.0
SWIFT_VENV = Path(os.environ.get("FREEBITS_TEST_SWIFT_VENV") or Path(sys.prefix) / "s3")
_KINDS = ("account", "container", "object")
_PIPELINE = (
    "catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo "
    "versioned_writes symlink proxy-logging proxy-server"
)
_FILTERS = {
    "tempauth": "user_test_tester = testing .admin",
    "s3api": f"s3_acl = no\nlocation = {REGION}\ncheck_bucket_owner = false\nmin_segment_size = 5242880",
    "catch_errors": "",
    "gatekeeper": "",
    "healthcheck": "",
    "proxy-logging": "use = egg:swift#proxy_logging",
    "cache": "use = egg:swift#memcache\nmemcache_servers = 127.0.0.1:1",  # nobody there, which it bears
    "listing_formats": "",
    "bulk": "",
    "copy": "",
    "slo": "",
    "dlo": "",
    "versioned_writes": "allow_versioned_writes = true\nallow_object_versioning = true",
    "symlink": "",
}
_SERVERS = """
import ctypes; ctypes.CDLL(None).prctl(1, 9)  # end with whoever started it, however that ended
import eventlet; eventlet.monkey_patch()
import sys, eventlet.wsgi
from swift.common.utils import set_swift_dir
from swift.common.wsgi import SwiftHttpProtocol, loadapp
folder, ports = sys.argv[1], dict(item.split("=") for item in sys.argv[2:])
set_swift_dir(folder)
class Quiet:
    def write(self, *_): pass
    def flush(self): pass
for kind, port in ports.items():
    listening = eventlet.listen(("127.0.0.1", int(port)), backlog=512)
    eventlet.spawn(eventlet.wsgi.server, listening, loadapp(f"{folder}/{kind}-server.conf"), log=Quiet(),
                   log_output=False, protocol=SwiftHttpProtocol, minimum_chunk_size=0,
                   custom_pool=eventlet.GreenPool(512), capitalize_response_headers=False)
while True:
    eventlet.sleep(3600)
"""


class S3Server:
    """One server with one account; may be killed and started again on the same data and port."""

    def __init__(self, port: int | None = None) -> None:
        if not (SWIFT_VENV / "bin" / "python").exists():
            raise RuntimeError(f"no Swift in {SWIFT_VENV}; run `make .venv/.s3`")
        # Not on tmpfs: Swift keeps its metadata in extended attributes.
        self.root = Path(tempfile.mkdtemp(prefix="freebits-s3-", dir="/var/tmp"))
        self._etc = self.root / "etc"
        self._ports = dict(zip((*_KINDS, "proxy"), _free_ports(4), strict=True))
        if port is not None:
            self._ports["proxy"] = port
        self._configure()
        self.process: subprocess.Popen[bytes]
        self.start()

    @property
    def endpoint(self) -> str:
        """URL for boto3's ``endpoint_url``; use path-style addresses."""
        return f"http://127.0.0.1:{self._ports['proxy']}"

    def environment(self) -> dict[str, str]:
        """Credentials as the variables every S3 client reads."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start and wait until it answers."""
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    SWIFT_VENV / "bin" / "python",
                    "-c",
                    _SERVERS,
                    self._etc,
                    *(f"{k}={p}" for k, p in self._ports.items()),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/healthcheck", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise TimeoutError(f"Swift did not start:\n{(self.root / 'log').read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """``kill -9``."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Stop it and remove its data."""
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.root, ignore_errors=True)

    def _configure(self) -> None:
        self._etc.mkdir()
        (self.root / "data" / "d1").mkdir(parents=True)
        self._write("swift.conf", _SWIFT_CONF)
        for kind in _KINDS:
            self._write(f"{kind}-server.conf", self._storage_conf(kind))
            for arguments in (
                ("create", "4", "1", "1"),
                ("add", f"r1z1-127.0.0.1:{self._ports[kind]}/d1", "1"),
                ("rebalance",),
            ):
                command = [SWIFT_VENV / "bin" / "swift-ring-builder", self._etc / f"{kind}.builder", *arguments]
                subprocess.run(command, check=False, stdout=subprocess.DEVNULL)  # it answers 1 for mere warnings
        self._write("proxy-server.conf", self._proxy_conf())

    def _write(self, name: str, text: str) -> None:
        (self._etc / name).write_text(text)

    def _storage_conf(self, kind: str) -> str:
        sizes = "network_chunk_size = 1048576\ndisk_chunk_size = 1048576\n" if kind == "object" else ""
        return (
            f"[DEFAULT]\nswift_dir = {self._etc}\ndevices = {self.root / 'data'}\nmount_check = false\n"
            f"bind_ip = 127.0.0.1\nbind_port = {self._ports[kind]}\nuser = {getpass.getuser()}\nlog_level = WARNING\n"
            f"log_address =\nfallocate_reserve = 0\n[pipeline:main]\npipeline = {kind}-server\n"
            f"[app:{kind}-server]\nuse = egg:swift#{kind}\n{sizes}"
        )

    def _proxy_conf(self) -> str:
        filters = "".join(
            f"[filter:{name}]\n{text if text.startswith('use =') else f'use = egg:swift#{name}{chr(10)}{text}'}\n"
            for name, text in _FILTERS.items()
        )
        return (
            f"[DEFAULT]\nswift_dir = {self._etc}\nbind_ip = 127.0.0.1\nbind_port = {self._ports['proxy']}\n"
            f"user = {getpass.getuser()}\nlog_level = WARNING\n[pipeline:main]\npipeline = {_PIPELINE}\n"
            "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n"
            f"object_chunk_size = 1048576\nclient_chunk_size = 1048576\n{filters}"
        )


_SWIFT_CONF = """[swift-hash]
swift_hash_path_prefix = a
swift_hash_path_suffix = b
[storage-policy:0]
name = one
default = yes
[swift-constraints]
max_file_size = 5368709122
"""


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
