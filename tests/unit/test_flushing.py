"""Files made durable in the background: an error is told, nothing waits for a disk that is behind, and nothing stays open."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from bot.host.flushing import Flusher


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes that files had when they were made durable."""
    sizes: list[int] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        sizes.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return sizes


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_was_handed_over_is_durable_at_the_end(tmp_path: Path, flushed: list[int]) -> None:
    """Files may be closed at once; all descriptors are closed at the end."""
    before = open_descriptors()
    with Flusher() as flusher:
        for n in range(5):
            with (tmp_path / str(n)).open("wb", buffering=0) as file:
                file.write(bytes(1000 + n))
                flusher.wrote(file.fileno())
        flusher.finish()
        assert sorted(flushed) == [1000, 1001, 1002, 1003, 1004]
    assert open_descriptors() == before


def test_a_disk_that_is_behind_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it takes nothing, files are passed over: no descriptors pile up."""
    go = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: go.wait(30))
    before = open_descriptors()
    with Flusher() as flusher, (tmp_path / "file").open("wb") as file:
        for _ in range(1000):
            flusher.wrote(file.fileno())
        assert open_descriptors() - before < 20
        go.set()
        flusher.finish()
    assert open_descriptors() == before


def test_an_error_is_told(tmp_path: Path) -> None:
    """At the end, and before that to whoever hands over the next file; leaving the block hides no other error."""
    reading, writing = os.pipe()  # cannot be made durable: EINVAL
    with Flusher() as flusher:
        flusher.wrote(writing)
        with pytest.raises(OSError, match="Invalid argument"):
            flusher.finish()
        with pytest.raises(OSError, match="Invalid argument"):
            flusher.wrote(writing)
    with pytest.raises(ZeroDivisionError), Flusher() as flusher:
        flusher.wrote(writing)
        raise ZeroDivisionError
    os.close(reading)
    os.close(writing)
