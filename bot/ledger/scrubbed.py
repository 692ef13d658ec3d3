"""When each stored object was last read, and whether it was right; lost, it is made anew by reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.ledger.database import Tx, iso, parse_iso


@dataclass(frozen=True, slots=True)
class Check:
    """One look at an object: its path, the bytes read, when (aware UTC), and what was wrong, empty when nothing was."""

    path: str
    size: int
    at: datetime
    damage: str = ""


def known(tx: Tx, repository: str) -> dict[str, Check]:
    """Return the last check of every object of a repository, by path."""
    rows = tx.query("SELECT path, bytes, checked_at, damage FROM scrubbed WHERE repository = ?", [repository])
    return {str(row["path"]): Check(row["path"], row["bytes"], _at(row["checked_at"]), row["damage"]) for row in rows}


def note(tx: Tx, repository: str, checks: Iterable[Check]) -> None:
    """Write checks over those before them."""
    for check in checks:
        tx.execute(
            "INSERT OR REPLACE INTO scrubbed (repository, path, bytes, checked_at, damage) VALUES (?, ?, ?, ?, ?)",
            [repository, check.path, check.size, iso(check.at), check.damage],
        )


def forget(tx: Tx, repository: str, paths: Iterable[str]) -> None:
    """Drop what is remembered of objects that are not there any more."""
    for path in paths:
        tx.execute("DELETE FROM scrubbed WHERE repository = ? AND path = ?", [repository, path])


def _at(text: str) -> datetime:
    at = parse_iso(text)
    assert at is not None
    return at
