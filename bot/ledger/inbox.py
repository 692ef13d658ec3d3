"""The inbox: what people did in Slack, recorded before the acknowledgement and handled by a worker, also after a restart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.ledger.database import Tx, iso, parse_iso


@dataclass(frozen=True, slots=True)
class Item:
    """Something a person did. `payload` is JSON; `received_at` is aware UTC."""

    id: int
    key: str
    kind: str
    payload: dict[str, Any]
    received_at: datetime


def put(tx: Tx, key: str, kind: str, payload: dict[str, Any], at: datetime) -> bool:
    """Record one item; False when `key` was recorded before, and then nothing changes."""
    cursor = tx.execute(
        "INSERT INTO inbox (key, kind, payload, received_at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        [key, kind, json.dumps(payload, ensure_ascii=False), iso(at)],
    )
    return bool(cursor.rowcount == 1)


def open(tx: Tx, limit: int = 100) -> list[Item]:  # noqa: A001 - the inbox is never used with the builtin
    """Return items nobody has handled yet, oldest first."""
    return [_item(row) for row in tx.query("SELECT * FROM inbox WHERE done_at IS NULL ORDER BY id LIMIT ?", [limit])]


def done(tx: Tx, item_id: int, outcome: dict[str, Any], at: datetime) -> bool:
    """Mark an item handled with what came of it; False when it was handled before."""
    cursor = tx.execute(
        "UPDATE inbox SET done_at = ?, outcome = ? WHERE id = ? AND done_at IS NULL",
        [iso(at), json.dumps(outcome, ensure_ascii=False), item_id],
    )
    return bool(cursor.rowcount == 1)


def outcome(tx: Tx, key: str) -> dict[str, Any] | None:
    """Return what came of the item recorded under `key`, or None while it is open or unknown."""
    row = tx.execute("SELECT outcome FROM inbox WHERE key = ? AND done_at IS NOT NULL", [key]).fetchone()
    return None if row is None else json.loads(row[0])


def forget(tx: Tx, before: datetime) -> int:
    """Drop items that were handled before a time; return how many."""
    return int(tx.execute("DELETE FROM inbox WHERE done_at < ?", [iso(before)]).rowcount)


def _item(row: dict[str, Any]) -> Item:
    received_at = parse_iso(row["received_at"])
    assert received_at is not None
    return Item(row["id"], row["key"], row["kind"], json.loads(row["payload"]), received_at)
