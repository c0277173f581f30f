"""encode, decode, verify on files and pipes: complete under its name, or not there at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freebits

DATA = b"".join(b"row %d\n" % (i * i % 1000) for i in range(300_000))


@pytest.fixture
def model(home: Path) -> Path:
    """A file with a mode and a time of its own."""
    path = home / "model.bin"
    path.write_bytes(DATA)
    path.chmod(0o640)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


def test_encode_and_decode_keep_mode_and_time(cli: Any, home: Path, model: Path) -> None:
    """FILE becomes FILE.fb and comes back."""
    result = json.loads(cli("encode", "model.bin", "--json").stdout)
    assert result["output"] == "model.bin.fb"
    assert result["stored_nbytes"] == (home / "model.bin.fb").stat().st_size < len(DATA)
    model.unlink()
    assert cli("decode", "model.bin.fb").returncode == 0
    assert model.read_bytes() == DATA
    for path in (model, home / "model.bin.fb"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert path.stat().st_mtime == 1_600_000_000


def test_verify(cli: Any, home: Path, model: Path) -> None:
    """A sound container says so; a flipped bit is exit 6."""
    cli("encode", "model.bin")
    assert "ok" in cli("verify", "model.bin.fb").stdout
    damaged = bytearray((home / "model.bin.fb").read_bytes())
    damaged[len(damaged) // 2] ^= 4
    (home / "model.bin.fb").write_bytes(damaged)
    assert cli("verify", "model.bin.fb").returncode == 6


def test_nothing_is_overwritten_unless_forced(cli: Any, home: Path, model: Path) -> None:
    """-f is needed; the input is never the output."""
    (home / "out").write_bytes(b"precious")
    refused = cli("encode", "model.bin", "-o", "out")
    assert refused.returncode == 2
    assert "-f" in refused.stderr
    assert (home / "out").read_bytes() == b"precious"
    assert cli("encode", "model.bin", "-o", "out", "-f").returncode == 0
    assert freebits.decode((home / "out").read_bytes()) == DATA
    assert cli("encode", "model.bin", "-o", "model.bin", "-f").returncode == 2
    assert model.read_bytes() == DATA


def test_pipes(cli: Any, home: Path, model: Path) -> None:
    """`-` is stdin and stdout."""
    freebits_command = [sys.executable, "-m", "freebits"]
    encoded = subprocess.run([*freebits_command, "encode", "-"], input=DATA, capture_output=True, check=True)
    decoded = subprocess.run(
        [*freebits_command, "decode", "-"], input=encoded.stdout, capture_output=True, check=True
    )
    assert decoded.stdout == DATA
    (home / "cut.fb").write_bytes(encoded.stdout[:-10])
    assert cli("decode", "cut.fb").returncode == 6
    assert not (home / "cut").exists()


def test_a_device_is_written_not_replaced(cli: Any, model: Path) -> None:
    """`-o /dev/null` must leave /dev/null a device."""
    assert cli("encode", "model.bin", "-o", os.devnull).returncode == 0
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_link_as_output_is_followed(cli: Any, home: Path, model: Path) -> None:
    """With -f the file behind the link is replaced, the link stays."""
    (home / "real").write_bytes(b"old")
    (home / "link").symlink_to("real")
    assert cli("encode", "model.bin", "-o", "link", "-f").returncode == 0
    assert (home / "link").is_symlink()
    assert freebits.decode((home / "real").read_bytes()) == DATA


def test_several_files(cli: Any, home: Path, model: Path) -> None:
    """Each gets its own output and its own line of JSON."""
    (home / "two.bin").write_bytes(b"2" * 1000)
    lines = cli("encode", "model.bin", "two.bin", "--json").stdout.splitlines()
    assert [json.loads(line)["output"] for line in lines] == ["model.bin.fb", "two.bin.fb"]


def test_decode_needs_a_name_to_write_to(cli: Any, home: Path, model: Path) -> None:
    """Without .fb there is none to derive."""
    refused = cli("decode", "model.bin")
    assert refused.returncode == 2
    assert "-o" in refused.stderr


def test_a_reader_that_goes_away_is_no_traceback(home: Path, model: Path) -> None:
    """`freebits encode FILE -o - | head -c 1`"""
    script = (
        f"{sys.executable} -m freebits encode model.bin -o - | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    )
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, cwd=home)
    assert "Traceback" not in result.stderr


def test_inspect_shows_every_tensor(cli: Any, home: Path) -> None:
    """dtype, shape, bytes, ratio, bits per exponent and codec per plane, as a table and as JSON."""
    values = np.random.default_rng(2).normal(size=(64, 1024)).astype("<f4")
    header = {"w.weight": {"dtype": "F32", "shape": [64, 1024], "data_offsets": [0, values.nbytes]}}
    text = json.dumps(header).encode()
    (home / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + values.tobytes())
    cli("encode", "m.safetensors")
    facts = json.loads(cli("inspect", "m.safetensors.fb", "--json").stdout)
    assert facts["format"] == "safetensors"
    assert facts["stored_nbytes"] == (home / "m.safetensors.fb").stat().st_size
    (tensor,) = facts["tensors"]
    assert (tensor["name"], tensor["dtype"], tensor["shape"]) == ("w.weight", "F32", [64, 1024])
    assert tensor["ratio"] > 1.1
    assert 1 < tensor["exponent_bits"] < 4
    assert tensor["planes"]
    shown = cli("inspect", "m.safetensors.fb").stdout
    assert "w.weight" in shown
    assert "64x1024" in shown
