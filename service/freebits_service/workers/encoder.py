"""Encode, verify and expand objects in a child process.

A process of its own can be killed at any moment (a job was cancelled), gives its memory back, cannot hold up
the heartbeat, and takes nobody with it when a checkpoint makes the native code crash. It stays for many jobs,
because starting one costs more than encoding a small file. It ends with its parent, whatever it is at.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from ..allocator import reuse_freed_memory
from ..blobs.opening import open_store
from ..blobs.store import BlobStore
from ..errors import StorageFull, Unavailable
from ..settings import Settings
from ..tensors.digests import TensorDigest

PROGRESS_EVERY_S = 0.5
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class EncoderDied(RuntimeError):
    """The child process ended in the middle of a task (crash or out of memory)."""


class EncodingFailed(RuntimeError):
    """The child process could not do a task; the message is its error."""


class Refused(RuntimeError):
    """A task cannot be done, and trying again will not help; the message says why and what to do."""


class Cancelled(RuntimeError):
    """Nobody wants the task done any more."""


class Tell:
    """How a task tells what it has done so far; sending fails when the parent is gone, which ends the child."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._last_told = time.monotonic()

    def progress(self, nbytes: int) -> None:
        """So many bytes are done; told now and then."""
        if time.monotonic() - self._last_told > PROGRESS_EVERY_S:
            self._last_told = time.monotonic()
            self._connection.send(("progress", nbytes))

    def tensors(self, found: Sequence[TensorDigest]) -> None:
        """Some more tensors of the file at hand."""
        self._connection.send(("tensors", found))


class Task(Protocol[R_co]):
    """Something to do in the child; it is sent there whole."""

    def perform(self, store: BlobStore, tell: Tell) -> R_co:
        """Do it; the result is sent back. Raises Refused when trying again cannot help."""
        ...


KeepTensors = Callable[[Sequence[TensorDigest]], None]


class EncoderProcess:
    """One child process; does one task at a time, whoever asks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection[Any, Any] | None = None
        self._stopped = threading.Event()

    def run(self, task: Task[R], still_wanted: Callable[[int], bool], keep_tensors: KeepTensors | None = None) -> R:
        """Do a task; `still_wanted(nbytes done)` is asked every so often and may end it.

        `keep_tensors` is given the tensors that a verification finds, batch by batch, before it is known whether they
        are true.

        Raises EncodingFailed, Refused, StorageFull, Unavailable, EncoderDied, Cancelled.
        """
        with self._lock:
            if self._stopped.is_set():
                threading.Event().wait()
            connection = self._connected()
            try:
                connection.send(task)
                result: R = self._await_result(connection, still_wanted, keep_tensors)
                return result
            except (EOFError, OSError):
                if self._stopped.is_set():
                    threading.Event().wait()  # the worker is ending; this is no failure of the job
                status = self.end()
                raise EncoderDied(f"the encoding process ended with status {status}") from None
            except Cancelled:
                self.end()
                raise

    def stop(self) -> None:
        """Kill the child because this process ends; a task it was at never returns."""
        self._stopped.set()
        self.kill()

    def kill(self) -> None:
        """Kill the child; a task it was at raises EncoderDied."""
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> int | None:
        """End the child between two tasks, with all memory it has; its exit status. The next task gets a new one."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if connection is not None:
            connection.close()
        if process is None:
            return None
        process.kill()
        process.join()
        return process.exitcode

    def _await_result(
        self,
        connection: Connection[Any, Any],
        still_wanted: Callable[[int], bool],
        keep_tensors: KeepTensors | None,
    ) -> Any:
        done_nbytes, every_s = 0, self._settings.heartbeat_s
        ask_at = time.monotonic() + every_s
        while True:
            has_told = connection.poll(max(0.0, ask_at - time.monotonic()))
            if time.monotonic() >= ask_at:  # also while it tells all the time
                if not still_wanted(done_nbytes):
                    raise Cancelled("the job was cancelled or handed on")
                ask_at = time.monotonic() + every_s
            if not has_told:
                continue
            kind, value = connection.recv()
            if kind == "progress":
                done_nbytes = value
            elif kind == "tensors":
                if keep_tensors is not None:
                    keep_tensors(value)
            elif kind == "wait":
                error_type, message = value
                raise error_type(message)
            elif kind == "refused":
                raise Refused(value)
            elif kind == "failed":
                raise EncodingFailed(value)
            else:
                return value

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


def serve(connection: Connection[Any, Any], settings: Settings) -> None:
    """The child: do tasks until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    reuse_freed_memory()
    store = open_store(settings)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_answer(store, task, connection))


def _end_with_parent() -> None:
    """Also in the middle of a task, so that a killed parent's successor finds nobody at work."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_for_the_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_the_end, name="parent", daemon=True).start()


def _answer(store: BlobStore, task: Task[object], connection: Connection[Any, Any]) -> tuple[str, object]:
    try:
        return "done", task.perform(store, Tell(connection))
    except (StorageFull, Unavailable) as error:
        return "wait", (type(error), error.message)
    except BrokenPipeError:
        raise
    except Refused as error:
        return "refused", str(error)
    except Exception as error:  # whatever a hostile file provokes is this task's failure, not the process's
        return "failed", f"{type(error).__name__}: {error}"
