"""Single values the ledger keeps: the schema's version, the audit's anchor, which workspace is ours."""

from __future__ import annotations

from bot.ledger.database import Tx


def get(tx: Tx, name: str) -> str | None:
    """Return a value, or None."""
    row = tx.execute("SELECT value FROM settings WHERE name = ?", [name]).fetchone()
    return None if row is None else str(row[0])


def put(tx: Tx, name: str, value: str) -> None:
    """Write a value over whatever was there."""
    tx.execute(
        "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [name, value],
    )
