"""Encode and verify objects in a child process.

A process of its own can be killed at any moment (a job was cancelled), gives its memory back, cannot hold up
the heartbeat, and takes nobody with it when a checkpoint makes the native code crash. It stays for many jobs,
because starting one costs more than encoding a small file. It ends with its parent: its end of the pipe
breaks.
"""

from __future__ import annotations

import io
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, BinaryIO, cast

from freebits_codecs import encode_file

from ..allocator import reuse_freed_memory
from ..blobs.files import ObjectFile, StagedFile
from ..blobs.opening import open_store
from ..blobs.store import BlobStore
from ..blobs.verify import check_bytes, check_container
from ..errors import DigestMismatch, StorageFull, Unavailable
from ..settings import MIB, Settings
from ..tensors.digests import ContainerIndexer, TensorDigest

PROGRESS_EVERY_S = 0.5


class EncoderDied(RuntimeError):
    """The child process ended in the middle of a task (crash or out of memory)."""


class EncodingFailed(RuntimeError):
    """The child process could not do a task; the message is its error."""


class Cancelled(RuntimeError):
    """Nobody wants the task done any more."""


@dataclass(frozen=True, slots=True)
class Encode:
    """Encode the object `raw_key`, whose content must have this digest, into parts of the object `key`."""

    raw_key: str
    key: str
    part_nbytes: int
    sha256: str
    threads: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Check that the container `key` has these bytes and decodes to a file of this size and digest."""

    key: str
    stored_nbytes: int
    stored_sha256: str
    nbytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A container whose parts are all there."""

    nbytes: int
    sha256: str
    encode_s: float


@dataclass(frozen=True, slots=True)
class Verified:
    """The container is what it should be; so many tensors were found in it on the way."""

    tensor_count: int | None


Task = Encode | Verify
Result = Encoded | Verified
KeepTensors = Callable[[Sequence[TensorDigest]], None]


class EncoderProcess:
    """One child process; does one task at a time, whoever asks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._stopped = threading.Event()

    def run(self, task: Task, still_wanted: Callable[[int], bool], keep_tensors: KeepTensors | None = None) -> Result:
        """Do a task; `still_wanted(nbytes done)` is asked every so often and may end it.

        `keep_tensors` is given the tensors that a verification finds, batch by batch, before it is known whether they
        are true.

        Raises EncodingFailed, StorageFull, Unavailable, EncoderDied, Cancelled.
        """
        with self._lock:
            if self._stopped.is_set():
                threading.Event().wait()
            connection = self._connected()
            try:
                connection.send(task)
                return self._await_result(connection, still_wanted, keep_tensors)
            except (EOFError, OSError):
                if self._stopped.is_set():
                    threading.Event().wait()  # the worker is ending; this is no failure of the job
                status = self._end()
                raise EncoderDied(f"the encoding process ended with status {status}") from None
            except Cancelled:
                self._end()
                raise

    def stop(self) -> None:
        """Kill the child because this process ends; a task it was at never returns."""
        self._stopped.set()
        process = self._process
        if process is not None:
            process.kill()

    def _await_result(
        self,
        connection: Connection[Any, Any],
        still_wanted: Callable[[int], bool],
        keep_tensors: KeepTensors | None,
    ) -> Result:
        done_nbytes = 0
        while True:
            while not connection.poll(self._settings.heartbeat_s):
                if not still_wanted(done_nbytes):
                    raise Cancelled("the job was cancelled or handed on")
            kind, value = connection.recv()
            if kind == "progress":
                done_nbytes = value
            elif kind == "tensors":
                if keep_tensors is not None:
                    keep_tensors(value)
            elif kind == "wait":
                error_type, message = value
                raise error_type(message)
            elif kind == "failed":
                raise EncodingFailed(value)
            else:
                result: Result = value
                return result

    def _connected(self) -> Connection[Any, Any]:
        if self._connection is None or self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")  # threads are running: forking would copy held locks
            self._connection, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, self._settings), daemon=True)
            process.start()
            self._process = process
            theirs.close()
            if self._stopped.is_set():
                process.kill()  # `stop` came while it was being started
        return self._connection

    def _end(self) -> int | None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        process.kill()
        process.join()
        return process.exitcode


def serve(connection: Connection[Any, Any], settings: Settings) -> None:
    """The child: do tasks until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reuse_freed_memory()
    store = open_store(settings)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_answer(store, task, connection))


def _answer(store: BlobStore, task: Task, connection: Connection[Any, Any]) -> tuple[str, object]:
    try:
        if isinstance(task, Encode):
            return "done", _encode(store, task, connection)
        return "done", _verify(store, task, connection)
    except (StorageFull, Unavailable) as error:
        return "wait", (type(error), error.message)
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever a hostile file provokes is this task's failure, not the process's
        return "failed", f"{type(error).__name__}: {error}"


def _encode(store: BlobStore, task: Encode, connection: Connection[Any, Any]) -> Encoded:
    begun = last_told = time.monotonic()

    def tell(original_nbytes: int, _stored_nbytes: int) -> None:
        nonlocal last_told
        if time.monotonic() - last_told > PROGRESS_EVERY_S:
            last_told = time.monotonic()
            connection.send(("progress", original_nbytes))

    with (
        store.open(task.raw_key) as reader,
        StagedFile(store, task.key, task.part_nbytes) as container,
        io.BufferedReader(ObjectFile(reader), MIB) as source,
    ):
        sink = cast(BinaryIO, container)
        summary = encode_file(source, sink, threads=task.threads, progress=tell, sha256=True)
        container.finish()
    encode_s = time.monotonic() - begun
    if summary.sha256 != task.sha256:
        raise DigestMismatch(f"the raw object has SHA-256 {summary.sha256}, its blob is {task.sha256}")
    return Encoded(container.nbytes, container.sha256, encode_s)


def _verify(store: BlobStore, task: Verify, connection: Connection[Any, Any]) -> Verified:
    indexer = ContainerIndexer(lambda tensors: connection.send(("tensors", tensors)))
    with store.open(task.key) as container:
        check_bytes(container, task.stored_nbytes, task.stored_sha256)
        check_container(container, task.nbytes, task.sha256, indexer)
    return Verified(indexer.finish())
