"""The data keys of each repository: when they were made, since when all they seal is proved to open, and one being made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.ledger.database import Tx, iso, parse_iso


@dataclass(frozen=True, slots=True)
class DataKey:
    """One data key; times are aware UTC, `proved_at` None while no rotation proved it."""

    repository: str
    key: str
    made_at: datetime
    proved_at: datetime | None = None


def known(tx: Tx, repository: str | None = None) -> list[DataKey]:
    """Return all data keys known, or those of one repository, oldest first."""
    rows = tx.query(
        "SELECT repository, key, made_at, proved_at FROM data_keys WHERE ? IS NULL OR repository = ? ORDER BY repository, key",
        [repository, repository],
    )
    found = []
    for row in rows:
        made = parse_iso(row["made_at"])
        assert made is not None, "the column is never empty"
        found.append(DataKey(row["repository"], row["key"], made, parse_iso(row["proved_at"])))
    return found


def add(tx: Tx, repository: str, keys: Iterable[tuple[str, datetime]]) -> None:
    """Write data keys (id, made when) that a repository holds, beside those known; what was proved of one stays."""
    for key, made_at in keys:
        tx.execute(
            "INSERT INTO data_keys (repository, key, made_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [repository, key, iso(made_at)],
        )


def replace(tx: Tx, repository: str, keys: Iterable[tuple[str, datetime]]) -> None:
    """Write which data keys a repository holds now, and forget those it does not."""
    keys = list(keys)
    add(tx, repository, keys)
    for gone in {one.key for one in known(tx, repository)} - {key for key, _ in keys}:
        tx.execute("DELETE FROM data_keys WHERE repository = ? AND key = ?", [repository, gone])


def proved(tx: Tx, repository: str, keys: Iterable[str], at: datetime) -> None:
    """Note that all that these data keys seal opened."""
    for key in keys:
        tx.execute("UPDATE data_keys SET proved_at = ? WHERE repository = ? AND key = ?", [iso(at), repository, key])


@dataclass(frozen=True, slots=True)
class Begun:
    """A rotation that has not ended: the data key it is making or has made, and since when (aware UTC)."""

    key: str
    at: datetime


def begin(tx: Tx, repository: str, key: str, at: datetime) -> None:
    """Note that a rotation is about to store this data key; what an earlier one left is forgotten."""
    tx.execute(
        "INSERT INTO rotations (repository, key, begun_at) VALUES (?, ?, ?) "
        "ON CONFLICT (repository) DO UPDATE SET key = excluded.key, begun_at = excluded.begun_at",
        [repository, key, iso(at)],
    )


def begun(tx: Tx, repository: str) -> Begun | None:
    """Return the rotation of a repository that has not ended: it runs, or it was killed."""
    for row in tx.query("SELECT key, begun_at FROM rotations WHERE repository = ?", [repository]):
        at = parse_iso(row["begun_at"])
        assert at is not None, "the column is never empty"
        return Begun(row["key"], at)
    return None


def end(tx: Tx, repository: str) -> None:
    """Forget the rotation of a repository: it came to its end."""
    tx.execute("DELETE FROM rotations WHERE repository = ?", [repository])
