"""Push and pull through Hub and AsyncHub against a hub that misbehaves on demand."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import random
from pathlib import Path
from typing import Any

import pytest

import freebits
from freebits import errors
from freebits_codecs import encode

RNG = random.Random(7)
NOISE = RNG.randbytes(9_000_000)
TEXT = b"".join(b"%d layers\n" % (i % 999) for i in range(900_000))


@pytest.fixture
def folder(home: Path) -> Path:
    """A folder with large, small, nested, empty and equal files."""
    files = {
        "noise.bin": NOISE,
        "sub/text.bin": TEXT,
        "sub/copy.bin": TEXT,
        "config.json": b"{}",
        "empty": b"",
    }
    for name, data in files.items():
        path = home / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return home / "model"


def contents(folder: Path) -> dict[str, bytes]:
    """Path to bytes of everything below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("encode_first", [None, True, False])
def test_push_then_pull_gives_the_same_bytes(
    environment: Any, folder: Path, home: Path, encode_first: bool | None
) -> None:
    """Raw, encoded, or whatever is faster: the bytes are the same."""
    with freebits.Hub() as hub:
        pushed = hub.push(folder, "alice/model", encode=encode_first)
        pulled = hub.pull("alice/model", home / "out")
    assert pulled.commit == pushed.commit
    assert contents(home / "out") == contents(folder)
    assert environment.repos["alice/model"]["visibility"] == "private"
    assert (hashlib.sha256(TEXT).hexdigest() in environment.containers) or not encode_first


def test_encoding_saves_bytes_both_ways(environment: Any, folder: Path, home: Path) -> None:
    """A compressible file crosses the wire as a container in both directions."""
    with freebits.Hub() as hub:
        pushed = hub.push(folder / "sub/text.bin", "alice/model", encode=True)
        pulled = hub.pull("alice/model", home / "out")
    assert pushed.sent_nbytes < len(TEXT) / 2
    assert pulled.received_nbytes < len(TEXT) / 2
    assert environment.blob_nbytes_sent() < len(TEXT) / 2
    assert (home / "out/text.bin").read_bytes() == TEXT


def test_a_slow_link_makes_the_client_encode(environment: Any, folder: Path) -> None:
    """4 MB/s against the encoder, also on a busy machine: the container wins the race."""
    environment.bytes_per_s = 4e6
    with freebits.Hub() as hub:
        result = hub.push(folder / "sub/text.bin", "alice/model")
    assert environment.containers
    assert result.sent_nbytes < len(TEXT)


def test_a_second_push_sends_only_what_changed(environment: Any, folder: Path) -> None:
    """One file of five changes: one session, one new commit."""
    with freebits.Hub() as hub:
        hub.push(folder, "alice/model")
        again = hub.push(folder, "alice/model")
        assert again.pushed == ()
        sessions = environment.count("POST", "/uploads")
        (folder / "config.json").write_text('{"changed": true}')
        changed = hub.push(folder, "alice/model")
    assert changed.pushed == ("config.json",)
    assert environment.count("POST", "/uploads") == sessions + 2  # open and complete


def test_a_second_pull_fetches_only_what_changed(environment: Any, folder: Path, home: Path) -> None:
    """Files with the right digest are left alone, damaged ones are replaced."""
    with freebits.Hub() as hub:
        hub.push(folder, "alice/model")
        hub.pull("alice/model", home / "out")
        (home / "out/config.json").write_bytes(b"[]")
        result = hub.pull("alice/model", home / "out")
    assert result.pulled == ("config.json",)
    assert contents(home / "out") == contents(folder)


def test_include_and_exclude(environment: Any, folder: Path, home: Path) -> None:
    """Globs choose what is pulled."""
    with freebits.Hub() as hub:
        hub.push(folder, "alice/model")
        result = hub.pull("alice/model", home / "out", include=["*.bin"], exclude=["sub/c*"])
        assert result.pulled == ("noise.bin", "sub/text.bin")
        with pytest.raises(errors.UsageError, match="no file"):
            hub.pull("alice/model", home / "out", include=["*.nothing"])


def test_connections_that_break_are_tried_again(environment: Any, folder: Path, home: Path) -> None:
    """Every fifth request dies, before or in the middle of its answer."""
    count = 0

    def fault(_exchange: Any) -> str | None:
        nonlocal count
        count += 1
        return {0: "cut", 3: "cut body"}.get(count % 7)

    environment.fault = fault
    with freebits.Hub() as hub:
        hub.push(folder, "alice/model")
        hub.pull("alice/model", home / "out")
    assert contents(home / "out") == contents(folder)


def test_a_hub_that_goes_away_leaves_a_pull_that_resumes(environment: Any, home: Path) -> None:
    """After 12 MB no request is answered; the second pull does not fetch them again."""
    data = RNG.randbytes(48_000_000)
    environment.add("alice/model", "big.bin", data)
    environment.fault = lambda e: "cut" if "/resolve/" in e.path and environment.blob_nbytes_sent() > 12e6 else None
    with (
        freebits.Hub(retries=1) as hub,
        pytest.raises(errors.TransportError, match="run the same command again"),
    ):
        hub.pull("alice/model", home / "out")
    assert not (home / "out/big.bin").exists()
    (part,) = (home / "out/.freebits").glob("*.part")
    kept = part.stat().st_size
    assert kept > 4e6
    environment.fault = lambda _e: None
    environment.log.clear()
    with freebits.Hub() as hub:
        hub.pull("alice/model", home / "out")
    assert (home / "out/big.bin").read_bytes() == data
    assert environment.blob_nbytes_sent() < len(data) - kept + 1_000_000
    assert not (home / "out/.freebits").exists()


def test_wrong_bytes_are_an_integrity_error(environment: Any, home: Path) -> None:
    """A hub that serves other bytes than it names: nothing is written."""
    environment.add("alice/model", "model.bin", b"right")
    environment.served["model.bin"] = b"wrong"
    with freebits.Hub() as hub, pytest.raises(errors.IntegrityError, match="SHA-256"):
        hub.pull("alice/model", home / "out")
    assert not (home / "out/model.bin").exists()


def test_a_damaged_container_is_an_integrity_error(environment: Any, home: Path) -> None:
    """One flipped byte in the middle of the container."""
    container = bytearray(encode(TEXT))
    environment.add("alice/model", "model.bin", TEXT, bytes(container))
    container[len(container) // 2] ^= 1
    environment.served["model.bin"] = bytes(container)
    with freebits.Hub() as hub, pytest.raises(errors.IntegrityError):
        hub.pull("alice/model", home / "out")
    assert not (home / "out/model.bin").exists()


def test_a_hostile_path_is_refused_before_anything_is_written(environment: Any, home: Path) -> None:
    """The whole pull is refused."""
    environment.add("alice/model", "model.bin", b"x")
    entry = {"type": "file", "nbytes": 1, "sha256": "0" * 64, "stored_nbytes": 1, "state": "raw"}
    environment.extra_entries.append({**entry, "path": "../escape"})
    with freebits.Hub() as hub, pytest.raises(errors.UnsafePath):
        hub.pull("alice/model", home / "out")
    assert not (home / "escape").exists()
    assert not (home / "out").exists()


@pytest.mark.parametrize("digest", ["../../escape", "A" * 64, "0" * 63, "", "/" * 64])
def test_a_hostile_digest_is_refused(environment: Any, home: Path, digest: str) -> None:
    """Files are named by them, in the folder of a pull as in the cache."""
    environment.add("alice/model", "model.bin", b"x")
    entry = {"type": "file", "nbytes": 1, "stored_nbytes": 1, "state": "raw", "path": "a"}
    environment.extra_entries.append({**entry, "sha256": digest})
    for output in (home / "out", None):
        with freebits.Hub() as hub, pytest.raises(errors.ProtocolError, match="hex digits"):
            hub.pull("alice/model", output)
    assert not (home / "out").exists()


def test_more_than_fits_on_the_disk_is_refused_first(environment: Any, home: Path) -> None:
    """An exabyte."""
    environment.add("alice/model", "model.bin", b"x")
    entry = {"type": "file", "sha256": "0" * 64, "stored_nbytes": 1, "state": "raw", "path": "huge"}
    environment.extra_entries.append({**entry, "nbytes": 10**18})
    with freebits.Hub() as hub, pytest.raises(errors.NoSpace, match="free"):
        hub.pull("alice/model", home / "out")


def test_a_full_hub(environment: Any, folder: Path) -> None:
    """507 is not tried again."""
    body = {"code": "STORAGE_FULL", "message": "no space", "detail": None, "request_id": "r"}
    environment.fault = lambda e: (507, body) if e.method == "PUT" else None
    with freebits.Hub() as hub, pytest.raises(errors.HubFull, match="room"):
        hub.push(folder / "noise.bin", "alice/model", encode=False)


def test_commits_in_between_are_rebased(environment: Any, folder: Path) -> None:
    """Somebody commits another file just before us, twice."""
    environment.add("alice/model", "readme", b"old")
    left = [1, 2]

    def interfere() -> None:
        if left:
            environment.add("alice/model", f"other{left.pop()}", b"theirs")

    environment.on_commit = interfere
    with freebits.Hub() as hub:
        hub.push(folder / "config.json", "alice/model")
    assert environment.files("alice/model").keys() == {"readme", "other1", "other2", "config.json"}


def test_a_conflicting_commit_is_not_overwritten(environment: Any, folder: Path) -> None:
    """Somebody commits the same file just before us."""
    environment.add("alice/model", "config.json", b"old")
    environment.on_commit = lambda: environment.add("alice/model", "config.json", b"theirs")
    with freebits.Hub() as hub, pytest.raises(errors.HeadMoved):
        hub.push(folder / "config.json", "alice/model")
    assert environment.files("alice/model")["config.json"] == b"theirs"


def test_a_file_encoded_during_the_pull(environment: Any, home: Path) -> None:
    """The tree still says raw; then it says encoded while the bytes are still plain."""
    environment.add("alice/model", "text.bin", TEXT, encode(TEXT))
    with freebits.Hub() as hub:
        hub.pull("alice/model", home / "out")
        environment.containers.clear()
        (home / "out/text.bin").unlink()
        hub.pull("alice/model", home / "out")
    assert (home / "out/text.bin").read_bytes() == TEXT


def test_async_hub_moves_the_same_bytes(environment: Any, folder: Path, home: Path) -> None:
    """The same flows on asyncio, two hubs at once."""

    async def both() -> None:
        async with freebits.AsyncHub() as hub:
            assert (await hub.whoami()).name == "alice"
            await asyncio.gather(hub.push(folder, "alice/one"), hub.push(folder, "alice/two", encode=True))
            await asyncio.gather(hub.pull("alice/one", home / "one"), hub.pull("alice/two", home / "two"))
            assert {repo.name for repo in await hub.repos()} == {"alice/one", "alice/two"}
            with pytest.raises(errors.NotFound):
                await hub.files("alice/three")

    asyncio.run(both())
    assert contents(home / "one") == contents(home / "two") == contents(folder)


def test_async_hub_offers_all_that_hub_does() -> None:
    """The same methods with the same arguments and answers, to be awaited."""
    offered = {name: each for name, each in vars(freebits.Hub).items() if not name.startswith("_") and name != "close"}
    for name, method in offered.items():
        counterpart = getattr(freebits.AsyncHub, name, None)
        assert inspect.iscoroutinefunction(counterpart), name
        assert inspect.signature(counterpart) == inspect.signature(method), name


def test_the_token_is_in_no_error(environment: Any) -> None:
    """Neither message nor attributes of any error carry it."""
    with freebits.Hub(retries=0) as hub:
        for call in (lambda: hub.files("alice/none"), lambda: hub.pull("alice/none"), hub.whoami):
            environment.fault = lambda e: "cut" if "whoami" in e.path else None
            with pytest.raises(errors.FreebitsError) as caught:
                call()
            assert "fb-test-token" not in repr(vars(caught.value)) + str(caught.value)
