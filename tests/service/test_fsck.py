"""fsck over real store files that were flipped, cut, deleted, joined by strangers; repair; what the API answers."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy import delete, select, update

from freebits_codecs import encode
from freebits_service.blobs.keys import new_raw_key, upload_origin
from freebits_service.cli.fsck import fsck as fsck_command
from freebits_service.cli.gc import gc as gc_command
from freebits_service.collection.operations import collect
from freebits_service.collection.survey import survey
from freebits_service.context import Hub
from freebits_service.models import Blob, Job, Ref, RepoBlob, Tensor, TreeEntry, Upload
from freebits_service.repair.findings import Report
from freebits_service.repair.operations import fsck
from freebits_service.settings import Settings

CONTENT = b"0123456789abcdef" * 100_000
NOISE = random.Random(3).randbytes(3_000_000)


@pytest.fixture
def make_settings(make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """Parts of a size that a file is sent in few requests."""
    return partial(make_settings, part_nbytes=1 << 20)


@pytest.fixture
def filled(client: Any, encode_all: Callable[[], None]) -> Any:
    """A client of a hub with an encoded file and one that stays raw."""
    client.push(client.new_repo(), {"folder/encoded": CONTENT, "raw": NOISE})
    encode_all()
    return client


def check(hub: Hub, **options: Any) -> list[Any]:
    """The findings."""
    return fsck(hub, Report(), least_grace_s=0, **options).findings


def kinds(hub: Hub, **options: Any) -> list[str]:
    """What kinds of things are found."""
    return sorted(finding.kind for finding in check(hub, **options))


def blob(hub: Hub, state: str) -> Blob:
    """The only blob in this state."""
    with hub.db.snapshot() as session:
        return session.scalars(select(Blob).where(Blob.state == state)).one()


def file_of(hub: Hub, key: str | None) -> Path:
    """The file of an object."""
    assert key is not None
    return hub.settings.objects / key


def flip(path: Path, at: int) -> None:
    """Flip one bit of a stored file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def drop_raw_copies(hub: Hub) -> None:
    """Let the collector take the raw copies of encoded files."""
    assert collect(hub, least_grace_s=0).raw_copies == 1


@pytest.mark.parametrize("depth", ["fast", "bytes", "deep"])
def test_a_sound_hub_is_clean(hub: Hub, filled: Any, depth: str) -> None:
    """Nothing is found at any depth, with and without raw copies, and nothing is changed."""
    assert check(hub, depth=depth, repair=True, rebuild_tensors=depth == "deep") == []
    drop_raw_copies(hub)
    assert check(hub, depth=depth, repair=True) == []
    assert filled.resolve("admin/model", "folder/encoded").content == CONTENT


def test_flipped_bytes_of_a_raw_file(hub: Hub, filled: Any) -> None:
    """Found by its hash, not by its size; the API refuses at once, never gives wrong bytes, and says what to do."""
    path = file_of(hub, blob(hub, "raw").raw_key)
    flip(path, 1_500_000)
    with pytest.raises(Exception, match=r".*"):  # the whole is cut off before its end, so that nobody takes it for good
        assert filled.resolve("admin/model", "raw").content == NOISE
    assert kinds(hub, depth="fast") == []
    [finding] = check(hub)
    assert (finding.kind, finding.files) == ("wrong-hash", ("admin/model:raw",))
    for headers in ({}, {"Range": "bytes=0-9"}):
        reply = filled.resolve("admin/model", "raw", headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (500, "BLOB_DAMAGED")
        assert "push the same" in reply.json()["message"]
    path.write_bytes(NOISE)
    assert kinds(hub) == ["whole-again"]
    assert filled.resolve("admin/model", "raw").content == NOISE


def test_small_damaged_raw_files_are_refused_without_fsck(hub: Hub, client: Any) -> None:
    """They are hashed before the answer begins."""
    client.push(client.new_repo(), {"small": b"precious" * 100})
    flip(file_of(hub, blob(hub, "encoding").raw_key), 5)
    reply = client.resolve("admin/model", "small")
    assert (reply.status_code, reply.json()["code"]) == (500, "BLOB_DAMAGED")


def test_a_flipped_bit_anywhere_in_a_container(hub: Hub, filled: Any) -> None:
    """Whatever bit it is, the API gives the right bytes or BLOB_DAMAGED; fsck finds each."""
    drop_raw_copies(hub)
    path = file_of(hub, blob(hub, "encoded").container_key)
    good = path.read_bytes()
    rng = random.Random(8)
    for at in [0, 9, 40, len(good) - 1, len(good) - 40, *(rng.randrange(len(good)) for _ in range(6))]:
        flip(path, at)
        reply = filled.resolve("admin/model", "folder/encoded", headers={"Range": "bytes=0-999999"})
        assert reply.content == CONTENT[:1_000_000] or reply.json()["code"] == "BLOB_DAMAGED", at
        assert kinds(hub) == ["wrong-hash"], at
        assert filled.resolve("admin/model", "folder/encoded").json()["code"] == "BLOB_DAMAGED"
        path.write_bytes(good)
        assert kinds(hub) == ["whole-again"]
    assert filled.resolve("admin/model", "folder/encoded").content == CONTENT


@pytest.mark.parametrize("harm", ["delete", "cut", "flip"])
def test_a_damaged_container_falls_back_to_the_raw_copy(
    hub: Hub, filled: Any, encode_all: Callable[[], None], harm: str
) -> None:
    """With --repair the raw copy is served and encoded again; before, the collector leaves it alone."""
    damaged = blob(hub, "encoded")
    path = file_of(hub, damaged.container_key)
    if harm == "delete":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        flip(path, 200)
    [finding] = check(hub)
    assert finding.kind == {"delete": "missing-object", "cut": "wrong-size", "flip": "wrong-hash"}[harm]
    assert "raw copy is whole" in finding.detail
    assert filled.resolve("admin/model", "folder/encoded").json()["code"] == "BLOB_DAMAGED"
    assert collect(hub, least_grace_s=0).raw_copies == 0
    [finding] = check(hub, repair=True)
    assert finding.done == "raw copy served, encoded again"
    assert filled.resolve("admin/model", "folder/encoded").content == CONTENT
    encode_all()
    assert blob(hub, "encoded").container_key != damaged.container_key
    assert filled.resolve("admin/model", "folder/encoded").content == CONTENT
    collect(hub, least_grace_s=0)
    assert check(hub, depth="deep") == []


def test_pushing_a_damaged_file_again_heals_it(hub: Hub, filled: Any) -> None:
    """As it is or as a container: the hub takes the bytes though it knows the digest, and serves them."""
    drop_raw_copies(hub)
    file_of(hub, blob(hub, "encoded").container_key).unlink()
    file_of(hub, blob(hub, "raw").raw_key).unlink()
    assert kinds(hub) == ["missing-object", "missing-object"]
    filled.upload("admin/model", NOISE)
    filled.upload("admin/model", CONTENT, stored=encode(CONTENT, sha256=True))
    assert filled.resolve("admin/model", "raw").content == NOISE
    assert filled.resolve("admin/model", "folder/encoded").content == CONTENT
    assert check(hub, depth="deep") == []


def test_a_damaged_raw_copy_beside_a_whole_container(hub: Hub, filled: Any) -> None:
    """Loses nothing; repair forgets it, and the collector removes its object."""
    flip(file_of(hub, blob(hub, "encoded").raw_key), 0)
    [finding] = check(hub)
    assert (finding.kind, finding.done) == ("wrong-hash", "")
    assert filled.resolve("admin/model", "folder/encoded").content == CONTENT
    finding, left_over = check(hub, repair=True)
    assert (finding.done, left_over.kind) == ("forgotten: the container is whole", "extra-object")
    assert blob(hub, "encoded").raw_key is None
    assert collect(hub, least_grace_s=0).objects == 1
    assert check(hub) == []


def test_strangers_and_left_over_objects(hub: Hub, filled: Any) -> None:
    """Both are told; what is not the hub's is left alone, what is goes with the collector. Neither is damage."""
    stranger = hub.settings.objects / "blobs/raw/notes.txt"
    stranger.write_text("mine")
    orphan = hub.settings.objects / f"blobs/raw/aa/{'a' * 64}.u-{'b' * 32}"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_text("left")
    report = fsck(hub, Report(), least_grace_s=0, repair=True)
    assert {finding.kind for finding in report.findings} == {"stranger", "extra-object"}
    assert (report.damages, report.notices) == (0, 2)
    assert collect(hub, least_grace_s=0).objects == 1
    assert stranger.exists()
    assert not orphan.exists()
    assert kinds(hub) == ["stranger"]


def test_an_undecodable_container_that_has_its_hash(hub: Hub, filled: Any) -> None:
    """Only --deep finds a container that is what was stored and not what was sent (a bug, or somebody who meant it)."""
    drop_raw_copies(hub)
    other = encode(CONTENT[:-1] + b"?", sha256=True)
    file_of(hub, blob(hub, "encoded").container_key).write_bytes(other)
    with hub.db.transaction() as session:
        session.execute(
            update(Blob)
            .where(Blob.state == "encoded")
            .values(container_nbytes=len(other), container_sha256=hashlib.sha256(other).hexdigest())
        )
    assert kinds(hub) == []
    assert kinds(hub, depth="deep") == ["undecodable"]
    assert filled.resolve("admin/model", "folder/encoded").json()["code"] == "BLOB_DAMAGED"


def test_an_encoding_that_nobody_makes(hub: Hub, client: Any, encode_all: Callable[[], None]) -> None:
    """Its job row is lost: found, and queued again."""
    client.push(client.new_repo(), {"a": CONTENT})
    with hub.db.transaction() as session:
        session.execute(delete(Job))
    assert kinds(hub) == ["no-job"]
    assert kinds(hub, repair=True) == ["no-job"]
    assert check(hub) == []
    encode_all()
    assert client.resolve("admin/model", "a").headers["x-freebits-state"] == "encoded"


def test_a_file_whose_repo_does_not_hold_it(hub: Hub, filled: Any) -> None:
    """Found and put right, before the collector could take the content for unneeded."""
    with hub.db.transaction() as session:
        session.execute(delete(RepoBlob))
    assert kinds(hub) == ["reference", "reference"]
    assert kinds(hub, repair=True) == ["reference", "reference"]
    assert check(hub) == []


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE tree_entry SET path = 'renamed' WHERE path = 'raw'",
        "DELETE FROM tree_entry WHERE path = 'raw'",
        "DELETE FROM tree_span",
        "UPDATE ref SET commit_id = 999",
        'UPDATE "commit" SET tree_id = 999',
        "UPDATE tree_entry SET blob_id = 999 WHERE path = 'raw'",
    ],
)
def test_rows_that_do_not_fit_together(hub: Hub, filled: Any, harm: str) -> None:
    """As after a database was restored by halves: each is found as a damaged reference, and clean before."""
    assert check(hub) == []
    with closing(sqlite3.connect(hub.settings.data / "hub.sqlite3")) as connection:  # foreign keys are not enforced
        connection.execute(harm)
        connection.commit()
    assert "reference" in kinds(hub, repair=True)


def test_the_tensor_index_is_rebuilt_from_containers(hub: Hub, client: Any, encode_all: Callable[[], None]) -> None:
    """A missing row is found, forgotten by repair, and the same rows come back."""
    rng = np.random.default_rng(1)
    content = save({name: rng.normal(size=(200, 200)).astype(np.float16) for name in "abc"})
    client.push(client.new_repo(), {"m": content})
    encode_all()
    path = "/repos/admin/model/tensors/main/m"
    before = client.get(path).json()
    assert len(before["items"]) == 3
    with hub.db.transaction() as session:
        session.execute(delete(Tensor).where(Tensor.number == 1))
    assert kinds(hub) == ["tensor-index"]
    assert kinds(hub, repair=True) == ["tensor-index"]
    assert client.get(path).json()["indexed"] is False
    assert check(hub, rebuild_tensors=True) == []
    assert client.get(path).json() == before


def test_the_commands(hub: Hub, filled: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """Exit status 0 when clean and 6 when damaged; JSON on stdout; gc tells what it would do and does it."""
    monkeypatch.setenv("FREEBITS_DATA", str(hub.settings.data))
    monkeypatch.setenv("FREEBITS_DATABASE_URL", hub.settings.database_url)
    assert fsck_command(["--deep", "--json", "--quiet", "--rate", "5000"]) == 0
    clean = json.loads(capsys.readouterr().out)
    assert (clean["damages"], clean["blobs"], clean["findings"]) == (0, 2, [])
    file_of(hub, blob(hub, "raw").raw_key).unlink()
    assert fsck_command(["--fast"]) == 6
    assert "DAMAGE  missing-object" in capsys.readouterr().out
    assert gc_command(["--dry-run", "--json", "--grace-s", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True
    assert gc_command(["--pause", "3600"]) == 0
    assert gc_command([]) == 1
    assert "--pause 0" in capsys.readouterr().err
    assert gc_command(["--pause", "0"]) == 0
    assert gc_command([]) == 0
    assert "freed" in capsys.readouterr().out


def test_the_dry_run_tells_what_the_collection_does(hub: Hub, filled: Any) -> None:
    """The same counts and bytes, and nothing is gone afterwards."""
    filled.push(filled.new_repo("admin/gone"), {"x": b"x" * 5000, "raw": NOISE})
    filled.request("DELETE", "/repos/admin/gone")
    with hub.db.transaction() as session:
        session.execute(update(Upload).values(expires_at=Upload.created_at))
        session.execute(update(Blob).values(look_at=Blob.created_at))
    hub.store.begin(new_raw_key("0" * 64, upload_origin("nobody")))
    told = survey(hub, least_grace_s=0)
    assert (told.repos, told.blobs, told.raw_copies, told.staged) == (1, 1, 1, 1)
    assert told.nbytes == 5000 + len(CONTENT)
    with hub.db.snapshot() as session:
        assert len(session.scalars(select(Blob)).all()) == 3
        assert session.scalars(select(Ref)).all()
        assert session.scalars(select(TreeEntry)).all()
    assert collect(hub, least_grace_s=0) == told
