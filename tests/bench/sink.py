"""An HTTP server that takes any upload and forgets it: what `curl -T` alone costs.

python tests/bench/sink.py [--host 127.0.0.1]      prints the port it listens on
"""

from __future__ import annotations

import argparse
import asyncio
import re
from contextlib import suppress

PIECE_NBYTES = 1 << 20
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read one request of known length to its end, then answer 200."""
    with suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        left = int(length[1]) if length else 0
        while left:
            piece = await reader.read(min(left, PIECE_NBYTES))
            if not piece:
                break
            left -= len(piece)
        else:
            writer.write(ANSWER)
            await writer.drain()
    writer.close()


async def serve(host: str) -> None:
    server = await asyncio.start_server(swallow, host, 0, limit=PIECE_NBYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().host))


if __name__ == "__main__":
    main()
