"""A TCP proxy that lets so many bits per second through, each way: a slow link without root.

python tests/bench/throttle.py --to 127.0.0.1:8000 --mbit 100      prints the port it listens on
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress

PIECE_NBYTES = 64 << 10
BURST_S = 0.005  # how long an idle link saves up; a real one has a queue of about this


class TokenBucket:
    """Bytes that may pass in one direction, shared by all connections."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def take(self, nbytes: int) -> None:
        """Return when the link has sent `nbytes` more bytes."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - BURST_S) + nbytes / self._bytes_per_s
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class Throttle:
    def __init__(self, host: str, port: int, bits_per_s: float) -> None:
        self._target = host, port
        self._up, self._down = TokenBucket(bits_per_s / 8), TokenBucket(bits_per_s / 8)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until both sides have said all."""
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target, limit=PIECE_NBYTES)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pass_on(reader, there_writer, self._up), _pass_on(there_reader, writer, self._down))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bucket: TokenBucket) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE_NBYTES):
            await bucket.take(len(piece))
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    writer.close()


async def serve(host: str, port: int, bits_per_s: float) -> None:
    throttle = Throttle(host, port, bits_per_s)
    server = await asyncio.start_server(throttle.connected, "127.0.0.1", 0, limit=PIECE_NBYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--mbit", type=float, required=True, help="10^6 bits per second, each way")
    arguments = parser.parse_args()
    host, port = arguments.to.rsplit(":", 1)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(host, int(port), arguments.mbit * 1e6))


if __name__ == "__main__":
    main()
