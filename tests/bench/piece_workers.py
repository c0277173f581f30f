"""One process per core, each coding its own piece of the file: all cores for libraries that hold the GIL."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from machine import reuse_memory
from peers import Peer

MakePeers = Callable[[], Sequence[Peer]]


class PieceWorkers:
    """Processes that are given a peer's name and a step, and answer when their piece is done.

    Pieces stay where they are: only names and sizes go through the pipes, so a step is timed from here.
    """

    def __init__(self, path: Path, pieces: Sequence[slice], make_peers: MakePeers, reused_copies: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for piece in pieces:
            ours, theirs = context.Pipe()
            arguments = (theirs, path, piece, make_peers, reused_copies)
            self._processes.append(context.Process(target=_serve, args=arguments, daemon=True))
            self._pipes.append(ours)

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        self._ask("ready")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def take_turn(self, name: str) -> tuple[float, float, int]:
        """Encode, decode and compare every piece: (seconds to encode, seconds to decode, stored bytes)."""
        self._ask("prepare", name)
        encode_s, stored_nbytes = self._timed("encode")
        decode_s, _ = self._timed("decode")
        self._ask("compare")
        return encode_s, decode_s, sum(stored_nbytes)

    def _timed(self, step: str) -> tuple[float, list[Any]]:
        start = time.perf_counter()
        answers = self._ask(step)
        return time.perf_counter() - start, answers

    def _ask(self, *question: str) -> list[Any]:
        for pipe in self._pipes:
            pipe.send(question)
        return [pipe.recv() for pipe in self._pipes]


def _serve(pipe: Connection, path: Path, piece: slice, make_peers: MakePeers, reused_copies: int) -> None:
    data = memoryview(path.read_bytes()[piece])
    if reused_copies:
        reuse_memory(reused_copies * len(data))
    peers = {peer.name: peer for peer in make_peers()}
    peer, held = next(iter(peers.values())), None
    while True:
        match pipe.recv():
            case ("prepare", name):
                peer = peers[name]
                held = peer.prepare(data)
                pipe.send(None)
            case ("encode",):
                held = peer.encode(held)
                pipe.send(peer.stored_nbytes(held))
            case ("decode",):
                held = peer.decode(held)
                pipe.send(None)
            case ("compare",):
                if memoryview(held).cast("B") != data:
                    raise AssertionError(f"{peer.name} did not give back what it was given")
                held = None
                pipe.send(None)
            case ("ready",):
                pipe.send(None)
