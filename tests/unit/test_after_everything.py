"""A time after the last commit that is known, in WAL that ends at a hole: what a list shows as recoverable, can be recovered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from bot.errors import Unreachable
from bot.model.wal import Lsn
from bot.postgres.resolve_time import _after_everything

REACHED = datetime(2026, 11, 24, 14, 31, 36, tzinfo=UTC)
"""When the newest backup before the hole was finished; nothing was committed since the first one."""


@pytest.fixture
def ground() -> Any:
    """Two stretches of WAL with a hole in between."""
    before, after = SimpleNamespace(end=Lsn(15 << 24)), SimpleNamespace(end=Lsn(30 << 24))
    return SimpleNamespace(
        wal=SimpleNamespace(stretches=[before, after]),
        complete_until=None,
        reached=lambda _stretch: REACHED,
        first_reachable=lambda after: after,
        nearest=lambda *times: times,
    )


@pytest.mark.parametrize("earlier_s", [0, 1, 9])
def test_up_to_what_is_shown(ground: Any, earlier_s: int) -> None:
    """Every time between two backups before the hole is reached, with the note that WAL is missing from there on."""
    [stretch, _] = ground.wal.stretches
    found = _after_everything(ground, REACHED - timedelta(seconds=earlier_s), stretch, None, before=False)
    assert found.lsn == stretch.end
    assert "WAL is missing or not here yet" in found.notes[0]


def test_beyond(ground: Any) -> None:
    """A moment later nobody knows; and just before something in the hole cannot be had at all."""
    [stretch, _] = ground.wal.stretches
    for at, before in ((REACHED + timedelta(microseconds=1), False), (REACHED, True)):
        with pytest.raises(Unreachable, match="lies in a hole"):
            _after_everything(ground, at, stretch, None, before=before)
