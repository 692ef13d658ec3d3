"""What unit tests share: a folder in memory, whose fsyncs cost nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 256 * 1024 * 1024
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound the time of each test by a signal: two thousand threads that wait for nothing cost most of a second."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.timeout(method="signal"))


def in_memory() -> str | None:
    """Return a file system in memory with room, where there is one."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    return str(_MEMORY) if roomy and os.access(_MEMORY, os.W_OK) else None


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A private folder, gone after the test."""
    with tempfile.TemporaryDirectory(prefix="pitstop-", dir=in_memory(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)
