"""The push flow driven by hand: which requests it asks for, and how it reacts to the answers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from types import GeneratorType
from typing import Any

import pytest

from freebits.errors import HeadMoved, NotFound, RefusedBytes, TransportError
from freebits.local_files import LocalFile, find_files
from freebits.progress import SILENT
from freebits.steps import PutPart, Work
from freebits.upload import Push, PushResult, push_flow
from freebits.upload_state import Record, UploadState
from freebits.wire import Request

DATA = b"weights" * 100
SHA256 = hashlib.sha256(DATA).hexdigest()
HEAD, NEXT = "a" * 40, "b" * 40


@pytest.fixture
def push(tmp_path: Path) -> Push:
    """A push of alice/m with its state in a folder of the test."""
    return Push(
        repo="alice/m",
        revision="main",
        message="Add weights",
        visibility="private",
        encode=False,
        threads=1,
        state=UploadState("http://hub", tmp_path / "state"),
        progress=SILENT,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file to push."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/model.bin").write_bytes(DATA)
    return tmp_path / "files"


class Script:
    """Answers the steps of a flow from a table of (method, last path component) and records them."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        self.answers = answers
        self.asked: list[Any] = []

    def run(self, flow: Generator[Any, Any, Any]) -> Any:
        """The flow's result."""
        batch = next(flow)
        while True:
            try:
                try:
                    replies = [self.perform(step) for step in batch]
                except Exception as error:  # thrown into the flow, as a driver does
                    batch = flow.throw(error)
                else:
                    batch = flow.send(replies)
            except StopIteration as end:
                return end.value

    def perform(self, step: Any) -> Any:
        """One step's result."""
        if isinstance(step, GeneratorType):
            return self.run(step)
        if isinstance(step, Work):
            return step.run()
        if isinstance(step, PutPart):
            self.asked.append(("PUT", step.path.rpartition("/")[2]))
            return step.may_send(step.stop - step.start)
        name = step.path.partition("?")[0].rpartition("/")[2]
        self.asked.append((step.method, name))
        answer = self.answers[step.method, name]
        if isinstance(answer, list):
            answer = answer.pop(0)
        answer = answer(step) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer


def tree(commit: str, **files: str) -> dict[str, Any]:
    """A tree listing."""
    facts = {"type": "file", "nbytes": len(DATA), "stored_nbytes": len(DATA), "state": "raw"}
    items = [{**facts, "path": path.replace("_", "."), "sha256": digest} for path, digest in files.items()]
    return {"commit": commit, "items": items, "next": None}


def upload(state: str = "receiving", received: tuple[int, ...] = ()) -> dict[str, Any]:
    """An upload session with parts of 256 bytes."""
    facts = {"id": "u1", "repo": "alice/m", "sha256": SHA256, "nbytes": 700, "encoding": "identity"}
    parts = {"stored_nbytes": 700, "part_nbytes": 256, "part_count": 3, "received": list(received)}
    return {**facts, **parts, "state": state, "expires_at": ""}


def commit(request: Request) -> dict[str, Any]:
    """A successful commit."""
    facts = {"id": NEXT, "parent": request.json["parent"], "author": "alice", "message": "m"}
    return {**facts, "description": None, "created_at": ""}


def moved() -> HeadMoved:
    """Another commit arrived first."""
    return HeadMoved("head moved", code="HEAD_MOVED", status=409, detail={"head": NEXT})


def result_of(push: Push, folder: Path, script: Script) -> PushResult:
    """Run the whole push."""
    result: PushResult = script.run(push_flow(push, find_files(folder)))
    return result


def absent(code: str) -> NotFound:
    """A 404."""
    return NotFound("absent", code=code, status=404)


def test_first_push_creates_the_repo_and_an_empty_branch(push: Push, folder: Path) -> None:
    """Tree, create, session, three parts, complete, commit without a parent."""
    script = Script(
        {
            ("GET", "main"): absent("REPO_NOT_FOUND"),
            ("POST", "repos"): lambda r: {"name": r.json["name"], "visibility": r.json["visibility"]},
            ("POST", "uploads"): upload(),
            ("POST", "complete"): upload("complete"),
            ("POST", "commits"): commit,
        }
    )
    result = result_of(push, folder, script)
    assert result.commit == NEXT
    assert (result.pushed, result.sent_nbytes) == (("model.bin",), 700)
    assert script.asked[1:] == [
        ("POST", "repos"),
        ("POST", "uploads"),
        ("PUT", "0"),
        ("PUT", "1"),
        ("PUT", "2"),
        ("POST", "complete"),
        ("POST", "commits"),
    ]


def test_nothing_changed_means_no_commit(push: Push, folder: Path) -> None:
    """The tree has the file already: one request in all."""
    script = Script({("GET", "main"): tree(HEAD, model_bin=SHA256)})
    result = result_of(push, folder, script)
    assert (result.commit, result.pushed, result.unchanged) == (HEAD, (), ("model.bin",))
    assert script.asked == [("GET", "main")]


def test_a_blob_the_hub_has_is_not_sent(push: Push, folder: Path) -> None:
    """The session comes back complete."""
    answers = {
        ("GET", "main"): tree(HEAD),
        ("POST", "uploads"): upload("complete"),
        ("POST", "commits"): commit,
    }
    script = Script(answers)
    assert result_of(push, folder, script).sent_nbytes == 0
    assert ("PUT", "0") not in script.asked


def test_equal_files_are_sent_once(push: Push, folder: Path) -> None:
    """Two names for the same bytes."""
    (folder / "copy.bin").write_bytes(DATA)
    script = Script(
        {
            ("GET", "main"): tree(HEAD),
            ("POST", "uploads"): upload(),
            ("POST", "complete"): upload("complete"),
            ("POST", "commits"): commit,
        }
    )
    assert result_of(push, folder, script).pushed == ("copy.bin", "model.bin")
    assert script.asked.count(("POST", "uploads")) == 1


def test_a_broken_push_resumes_with_the_missing_parts(push: Push, folder: Path) -> None:
    """The session is remembered; the hub says that it has part 1."""
    first = Script(
        {
            ("GET", "main"): tree(HEAD),
            ("POST", "uploads"): upload(),
            ("POST", "complete"): TransportError("gone"),
        }
    )
    with pytest.raises(TransportError):
        result_of(push, folder, first)
    push.claimed.clear()
    second = Script(
        {
            ("GET", "main"): tree(HEAD),
            ("GET", "u1"): upload(received=(1,)),
            ("POST", "complete"): upload("complete"),
            ("POST", "commits"): commit,
        }
    )
    result_of(push, folder, second)
    assert [name for method, name in second.asked if method == "PUT"] == ["0", "2"]
    assert not list((push.state._root).iterdir())


def test_a_session_the_hub_forgot_is_opened_anew(push: Push, folder: Path) -> None:
    """Sessions expire; the push then starts over."""
    answers = {
        ("GET", "main"): tree(HEAD),
        ("POST", "uploads"): upload(),
        ("POST", "complete"): TransportError("x"),
    }
    with pytest.raises(TransportError):
        result_of(push, folder, Script(answers))
    push.claimed.clear()
    script = Script(
        {
            ("GET", "main"): tree(HEAD),
            ("GET", "u1"): absent("UPLOAD_NOT_FOUND"),
            ("POST", "uploads"): upload(),
            ("POST", "complete"): upload("complete"),
            ("POST", "commits"): commit,
        }
    )
    assert result_of(push, folder, script).commit == NEXT


def test_a_commit_in_between_that_touches_other_files_is_fine(push: Push, folder: Path) -> None:
    """The head is read again and the commit is repeated on top of it."""
    script = Script(
        {
            ("GET", "main"): [tree(HEAD), tree(NEXT, other_bin="c" * 64)],
            ("POST", "uploads"): upload("complete"),
            ("POST", "commits"): [moved(), commit],
        }
    )
    assert result_of(push, folder, script).commit == NEXT


def test_a_commit_in_between_that_touches_our_file_is_a_conflict(push: Push, folder: Path) -> None:
    """Nobody's work is overwritten without being seen."""
    script = Script(
        {
            ("GET", "main"): [tree(HEAD), tree(NEXT, model_bin="c" * 64)],
            ("POST", "uploads"): upload("complete"),
            ("POST", "commits"): moved(),
        }
    )
    with pytest.raises(HeadMoved, match="pull, look at what changed"):
        result_of(push, folder, script)


def test_our_own_commit_whose_answer_was_lost_is_recognised(push: Push, folder: Path) -> None:
    """The retry meets HEAD_MOVED, and the head has our files."""
    script = Script(
        {
            ("GET", "main"): [tree(HEAD), tree(NEXT, model_bin=SHA256)],
            ("POST", "uploads"): upload("complete"),
            ("POST", "commits"): moved(),
        }
    )
    result = result_of(push, folder, script)
    assert (result.commit, result.pushed) == (NEXT, ("model.bin",))


def test_refused_bytes_are_not_resumed(push: Push, folder: Path) -> None:
    """The hub computed another digest: the next try starts from scratch."""
    script = Script(
        {
            ("GET", "main"): tree(HEAD),
            ("POST", "uploads"): upload(),
            ("POST", "complete"): RefusedBytes("digest", code="DIGEST_MISMATCH", status=422),
        }
    )
    with pytest.raises(RefusedBytes):
        result_of(push, folder, script)
    assert not list((push.state._root).iterdir())


def test_a_file_that_another_push_works_with_gets_a_session_of_its_own(tmp_path: Path) -> None:
    """While the owner lives its folder is left alone; when it died its work goes on."""
    source = tmp_path / "model.bin"
    source.write_bytes(b"x" * 10)
    file = LocalFile(source, "model.bin", 10, source.stat().st_mtime_ns)
    first = UploadState("http://hub", tmp_path / "state").of("me/m", file)
    first.save(Record("ab" * 32, "identity", "session-1"))
    [owner] = (tmp_path / "state").glob("*/owner")
    owner.write_text(str(os.getppid()))
    second = UploadState("http://hub", tmp_path / "state").of("me/m", file)
    assert second.load() is None
    assert second.container != first.container
    with subprocess.Popen(["true"]) as ended:
        pass
    owner.write_text(str(ended.pid))
    third = UploadState("http://hub", tmp_path / "state").of("me/m", file)
    assert third.load() == Record("ab" * 32, "identity", "session-1")
