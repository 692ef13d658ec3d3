"""What unit tests share: a folder in memory, whose fsyncs cost nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import in_memory

_ROOM_BYTES = 256 * 1024 * 1024
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound the time of each test by a signal: two thousand threads that wait for nothing cost most of a second."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.timeout(method="signal"))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A private folder, gone after the test."""
    with tempfile.TemporaryDirectory(
        prefix="pitstop-", dir=in_memory(_ROOM_BYTES), ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
