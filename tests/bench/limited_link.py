"""A link of so many bits per second between a server on this side and clients on the other.

With root, `ip` and `tc` the other side is a network namespace behind a pair of virtual interfaces, each
limited by the kernel's token bucket: TCP sees a real link. Otherwise it is the proxy `throttle.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from side_process import listening_script

NEAR, FAR, PREFIX_BITS = "10.213.77.1", "10.213.77.2", 30
BURST_S, LEAST_BURST_NBYTES = 0.002, 32 << 10


@dataclass(frozen=True)
class Link:
    """`server_host` is where a server has to listen, `client` what a client's command has to begin with.

    With no limit, of kind ``none``, both are on this machine.
    """

    kind: str
    server_host: str
    client: tuple[str, ...]
    bits_per_s: float

    def to(self, port: int) -> AbstractContextManager[str]:
        """The host and port under which a client finds the server's `port`."""
        if self.client or not self.bits_per_s:
            return nullcontext(f"{self.server_host}:{port}")
        return self._through_proxy(port)

    @contextmanager
    def _through_proxy(self, port: int) -> Iterator[str]:
        target = f"{self.server_host}:{port}"
        with listening_script("throttle.py", "--to", target, "--mbit", f"{self.bits_per_s / 1e6}") as near:
            yield f"127.0.0.1:{near}"


@contextmanager
def limited_link(bits_per_s: float) -> Iterator[Link]:
    """A link limited to `bits_per_s` each way, gone on leaving."""
    if not _can_make_namespaces():
        yield Link("proxy", "127.0.0.1", (), bits_per_s)
        return
    namespace = f"freebits-{os.getpid()}"
    try:
        _make_namespace(namespace, bits_per_s)
        yield Link("namespace", NEAR, ("ip", "netns", "exec", namespace), bits_per_s)
    finally:
        _run("ip", "netns", "delete", namespace)  # takes its end of the pair along, and so the pair


def _can_make_namespaces() -> bool:
    if os.name != "posix" or os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
        return False
    probe = f"freebits-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        _run("ip", "netns", "delete", probe)
    return made


def _make_namespace(namespace: str, bits_per_s: float) -> None:
    near, far = f"fb{os.getpid()}n", f"fb{os.getpid()}f"
    inside = ("ip", "netns", "exec", namespace)
    _run("ip", "netns", "add", namespace)
    _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", namespace)
    for prefix, name, address in (((), near, NEAR), (inside, far, FAR)):
        _run(*prefix, "ip", "address", "add", f"{address}/{PREFIX_BITS}", "dev", name)
        _run(*prefix, "ip", "link", "set", name, "up")
        _limit(prefix, name, bits_per_s)


def _limit(prefix: tuple[str, ...], name: str, bits_per_s: float) -> None:
    burst_nbytes = max(int(bits_per_s / 8 * BURST_S), LEAST_BURST_NBYTES)
    bucket = ("tbf", "rate", f"{int(bits_per_s)}bit", "burst", f"{burst_nbytes}b", "latency", "50ms")
    _run(*prefix, "tc", "qdisc", "add", "dev", name, "root", *bucket)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
