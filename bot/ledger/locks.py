"""Named locks held by runs; what conflicts is decided by `bot.model.locks`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bot.ledger.database import Tx
from bot.model.ids import RequestId, RunId
from bot.model.locks import Held, Lock, Mode


def held(tx: Tx) -> list[Held]:
    """Return every lock that a run holds, with the request it runs for."""
    sql = "SELECT locks.*, runs.request FROM locks JOIN runs ON runs.id = locks.run ORDER BY locks.name, locks.run"
    return [_held(row) for row in tx.query(sql)]


def take(tx: Tx, run: RunId, locks: Iterable[Lock]) -> None:
    """Write locks that do not conflict; the caller has asked `bot.model.locks.blocking` in the same transaction."""
    for lock in locks:
        tx.execute("INSERT INTO locks (run, name, mode) VALUES (?, ?, ?)", [run, lock.name, lock.mode.value])


def release(tx: Tx, run: RunId, lock: Lock) -> None:
    """Drop one lock a run holds. Idempotent."""
    tx.execute("DELETE FROM locks WHERE run = ? AND name = ?", [run, lock.name])


def drop(tx: Tx, run: RunId) -> None:
    """Drop whatever a run holds. Idempotent."""
    tx.execute("DELETE FROM locks WHERE run = ?", [run])


def _held(row: dict[str, Any]) -> Held:
    request = RequestId(row["request"]) if row["request"] else None
    return Held(Lock(row["name"], Mode(row["mode"])), RunId(row["run"]), request)
