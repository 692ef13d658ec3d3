"""The backup's own WAL stream, where a server is slow to make its slot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bot.postgres.replication import ReplicationConnection
from jobs.base_backup.own_wal import OwnWal


def test_a_slot_that_takes_long_can_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it connects and makes the slot, the backup's own look at whether it was cancelled is called."""
    looked: list[str] = []

    def connect(_dsn: str, *, application_name: str, on_wait: Any) -> Any:
        on_wait()
        return SimpleNamespace(create_slot=lambda _name, temporary: on_wait())

    monkeypatch.setattr(ReplicationConnection, "open", connect)
    places: Any = SimpleNamespace(cluster=SimpleNamespace(segment_bytes=0))
    OwnWal("host=nowhere", places, on_wait=lambda: looked.append("cancelled?"))
    assert looked == ["cancelled?"] * 2
