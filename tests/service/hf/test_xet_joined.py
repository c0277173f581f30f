"""Files that are made of the objects their chunks came in: then like any other, whatever becomes of the xorbs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hf_client import hf_digest
from sqlalchemy import update
from xet_client import MadeFile, MadeSegment, MadeXorb, XetWriter, cut, whole_file

from freebits_service.clock import now
from freebits_service.collection.operations import collect
from freebits_service.context import Hub
from freebits_service.models import Xorb
from freebits_service.repair.findings import Report
from freebits_service.repair.operations import fsck

MIB = 1 << 20
WEIGHTS = (np.random.default_rng(1).standard_normal(2 * MIB).astype(np.float32).view(np.uint32) & 0xFFFF0000).tobytes()
NOISE = random.Random(1).randbytes(3 * MIB + 17)


def joined(hub: Hub) -> list[Path]:
    """Folders of objects that are made of others."""
    return sorted(hub.settings.objects.glob("blobs/raw/*/*.joined"))


def two_halves(content: bytes) -> MadeFile:
    """A file of two xorbs, with a few chunks more at the beginning of the second one."""
    half = len(content) // 2
    first, rest = MadeXorb(cut(content[:half])), MadeXorb([b"of another file", *cut(content[half:])])
    return MadeFile([MadeSegment(first, 0, len(first.chunks)), MadeSegment(rest, 1, len(rest.chunks))])


def drop_xorbs(hub: Hub) -> None:
    """As days later."""
    with hub.db.transaction() as session:
        session.execute(update(Xorb).values(expires_at=now()))
    assert collect(hub, least_grace_s=0).xorbs > 0
    assert not list(hub.store.list("blobs/xorb/"))


def test_nothing_is_written_twice_and_the_xorbs_may_go(xet: XetWriter, hub: Hub) -> None:
    """Two links instead of a copy; the file is read across them, whole and in ranges, before and after."""
    file = two_halves(NOISE)
    assert xet.push(file).status_code == 200
    (folder,) = joined(hub)
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "table.json"]
    for _ in range(2):
        assert xet.user.get("/admin/m/resolve/main/model.bin").content == NOISE
        half = len(NOISE) // 2
        reply = xet.user.get("/admin/m/resolve/main/model.bin", headers={"Range": f"bytes={half - 9}-{half + 9}"})
        assert reply.content == NOISE[half - 9 : half + 10]
        assert fsck(hub, Report(), least_grace_s=0, depth="deep").findings == []
        if list(hub.store.list("blobs/xorb/")):
            drop_xorbs(hub)


def test_it_is_encoded_and_goes_like_any_raw_copy(xet: XetWriter, hub: Hub, encode_all: Callable[[], None]) -> None:
    """Afterwards nothing is left of it but the container."""
    assert xet.push(two_halves(WEIGHTS)).status_code == 200
    assert len(joined(hub)) == 1
    encode_all()
    assert collect(hub, least_grace_s=0).raw_copies > 0
    drop_xorbs(hub)
    assert joined(hub) == []
    assert not list(hub.store.list_staged())
    assert {found.name.split("/")[1] for found in hub.store.list("blobs/")} == {"container"}
    assert xet.user.get("/admin/m/resolve/main/model.bin").content == WEIGHTS


def test_an_object_nobody_names_is_an_orphan(xet: XetWriter, hub: Hub) -> None:
    """As after a crash between the join and the row."""
    file = whole_file(NOISE)
    assert xet.push(file).status_code == 200
    (folder,) = joined(hub)
    lost = folder.with_name(folder.name.replace(hf_digest(NOISE), "ab" * 32))
    os.rename(folder, lost)
    extra = [finding.kind for finding in fsck(hub, Report(), least_grace_s=0).findings]
    assert sorted(extra) == ["extra-object", "missing-object"]
    assert collect(hub, least_grace_s=0, whole=True).objects == 1
    assert not lost.exists()


@pytest.mark.parametrize("case", ["wrong digest", "wrong chunks"])
def test_what_is_not_as_announced_leaves_nothing(xet: XetWriter, hub: Hub, case: str) -> None:
    """Neither an object nor anything staged."""
    segments = two_halves(NOISE).segments
    if case == "wrong digest":
        file = MadeFile(segments, sha256=hf_digest(b"other"))
    else:
        file = MadeFile([MadeSegment(segments[0].xorb, 0, segments[0].stop, verification=b"\1" * 32), segments[1]])
    xet.send(*(segment.xorb for segment in segments))
    assert xet.register(file)["type"] == "error"
    assert joined(hub) == []
    assert not list(hub.store.list_staged())


def test_files_of_many_short_pieces_are_copied(xet: XetWriter, hub: Hub) -> None:
    """Reading across them would be slow."""
    xorb = MadeXorb(cut(NOISE))
    order = random.Random(2).sample(range(len(xorb.chunks)), len(xorb.chunks))
    file = MadeFile([MadeSegment(xorb, number, number + 1) for number in order])
    assert xet.push(file).status_code == 200
    assert joined(hub) == []
    assert xet.user.get("/admin/m/resolve/main/model.bin").content == file.content


def test_a_small_part_of_a_xorb_does_not_keep_all_of_it(xet: XetWriter, hub: Hub) -> None:
    """It is copied."""
    xorb = MadeXorb(cut(NOISE))
    file = MadeFile([MadeSegment(xorb, 0, len(xorb.chunks) // 2)])
    assert xet.push(file).status_code == 200
    assert joined(hub) == []
    assert xet.user.get("/admin/m/resolve/main/model.bin").content == file.content


def test_a_file_system_without_links(xet: XetWriter, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are copied, and the attempt is not made again."""
    tried: list[str] = []

    def link(source: str, *_: object) -> None:
        tried.append(source)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    assert xet.push(whole_file(NOISE)).status_code == 200
    assert xet.push(whole_file(NOISE[1:]), "other.bin").status_code == 200
    assert len(tried) == 1
    assert joined(hub) == []
    assert not list(hub.store.list_staged())
    assert xet.user.get("/admin/m/resolve/main/other.bin").content == NOISE[1:]
