"""The download in progress on disk: what survives, what is noticed."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from freebits.errors import IntegrityError, UsageError
from freebits.part_file import PartFile

DATA = random.Random(1).randbytes(20 << 20)
SHA256 = hashlib.sha256(DATA).hexdigest()
HALF = 17 << 20


def begin(folder: Path, nbytes: int = HALF) -> None:
    """Write the first `nbytes` bytes and stop as a killed process does: without a last journal line."""
    part = PartFile(folder, SHA256, len(DATA)).__enter__()
    for at in range(0, nbytes, 1 << 20):
        part.append(DATA[at : at + (1 << 20)])
    part._file.close()
    part._journal.close()


def finish(folder: Path) -> int:
    """Append what is missing; how many bytes were there already."""
    with PartFile(folder, SHA256, len(DATA)) as part:
        kept = part.nbytes
        part.append(DATA[kept:])
        part.finish(folder / "model")
    assert (folder / "model").read_bytes() == DATA
    return kept


def test_a_complete_file_gets_its_name(tmp_path: Path) -> None:
    """Nothing remains but the file."""
    assert finish(tmp_path) == 0
    assert list((tmp_path / ".freebits").iterdir()) == []


def test_a_killed_download_resumes_behind_its_last_journal_line(tmp_path: Path) -> None:
    """17 MiB written, 16 of them journalled: 16 are kept."""
    begin(tmp_path)
    assert finish(tmp_path) == 16 << 20


def test_a_stopped_download_keeps_every_byte(tmp_path: Path) -> None:
    """An orderly stop journals the last bytes too."""
    with PartFile(tmp_path, SHA256, len(DATA)) as part:
        part.append(DATA[:12345])
    assert finish(tmp_path) == 12345


def test_bytes_that_rotted_on_disk_are_fetched_again(tmp_path: Path) -> None:
    """A flipped byte at 10 MiB spoils the second journal line, not the first."""
    begin(tmp_path)
    path = tmp_path / ".freebits" / f"{SHA256}.part"
    rotten = bytearray(path.read_bytes())
    rotten[10 << 20] ^= 1
    path.write_bytes(rotten)
    assert finish(tmp_path) == 8 << 20


def test_a_part_shorter_than_its_journal_starts_anew(tmp_path: Path) -> None:
    """The disk lost the data, not the journal."""
    begin(tmp_path)
    (tmp_path / ".freebits" / f"{SHA256}.part").write_bytes(b"")
    assert finish(tmp_path) == 0


def test_a_torn_journal_line_is_ignored(tmp_path: Path) -> None:
    """Killed while writing the journal."""
    begin(tmp_path)
    with (tmp_path / ".freebits" / f"{SHA256}.journal").open("a") as journal:
        journal.write("171798")
    assert finish(tmp_path) == 16 << 20


def test_wrong_bytes_never_get_the_name(tmp_path: Path) -> None:
    """The digest is compared before the rename, and the bytes are dropped."""
    with PartFile(tmp_path, SHA256, len(DATA)) as part:
        part.append(bytes(len(DATA)))
        with pytest.raises(IntegrityError, match=SHA256):
            part.finish(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert list((tmp_path / ".freebits").iterdir()) == []


def test_more_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    """A hub cannot fill the disk."""
    with (
        PartFile(tmp_path, SHA256, 10) as part,
        pytest.raises(IntegrityError, match="more than the 10 bytes"),
    ):
        part.append(bytes(11))


def test_two_pulls_of_one_file_do_not_mix(tmp_path: Path) -> None:
    """The second one is told that the first is at work."""
    with PartFile(tmp_path, SHA256, 10), pytest.raises(UsageError, match="another pull"):
        PartFile(tmp_path, SHA256, 10).__enter__()
