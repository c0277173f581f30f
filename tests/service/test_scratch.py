"""Scratch folders: of the living they stay, of the dead they go, and none is given without room."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from freebits_service.errors import StorageFull
from freebits_service.scratch import Scratch
from freebits_service.settings import Settings


def die_at_work(settings: Settings) -> None:
    """A process that is killed in the middle."""
    with Scratch(settings, "dead").folder("job", 0) as folder:
        (folder / "half").write_bytes(b"half")
        os._exit(9)


def test_only_what_the_dead_left_is_swept(make_settings: Callable[..., Settings]) -> None:
    """The kernel lets go of their locks."""
    settings = make_settings()
    child = multiprocessing.get_context("fork").Process(target=die_at_work, args=(settings,))
    child.start()
    child.join()
    living = Scratch(settings, "living")
    with living.folder("job", 0) as folder:
        (folder / "file").write_bytes(b"file")
        Scratch(settings, "other").sweep()
        assert [path.name for path in (settings.data / "scratch").iterdir()] == ["living"]
        assert (folder / "file").exists()
    assert list(Path(settings.data / "scratch" / "living").iterdir()) == []


def test_a_folder_that_was_swept_before_it_was_held(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is made once more."""
    settings = make_settings()
    scratch, swept = Scratch(settings, "w"), [True]
    real = Path.stat

    def stat(path: Path, **options: bool) -> object:
        if swept and path.name == "w":
            swept.pop()
            path.rmdir()
        return real(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", stat)
        with scratch.folder("job", 0) as folder:
            assert folder.is_dir()


def test_room_is_asked_for_first(make_settings: Callable[..., Settings]) -> None:
    """Nothing is written where there is none."""
    with pytest.raises(StorageFull, match="make room"), Scratch(make_settings(), "w").folder("job", 1 << 60):
        pytest.fail("there is no such room")
