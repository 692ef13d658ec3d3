"""Pauses as rows: since when and until when a cluster's schedule waits, and who said so."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.errors import Usage
from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName
from bot.model.pauses import Pause
from bot.model.people import Person


def insert(tx: Tx, pause: Pause) -> None:
    """Write a new pause."""
    tx.execute(
        "INSERT INTO pauses (id, cluster, by, by_name, at, until) VALUES (?, ?, ?, ?, ?, ?)",
        [pause.id, pause.cluster, pause.by.key, pause.by_name, iso(pause.at), iso(pause.until)],
    )


def end(tx: Tx, pause: Pause, by: Person, at: datetime) -> Pause:
    """Note that a pause was ended before its time."""
    tx.execute("UPDATE pauses SET ended_at = ?, ended_by = ? WHERE id = ?", [iso(at), by.key, pause.id])
    return replace(pause, ended_at=at, ended_by=by)


def current(tx: Tx, cluster: ClusterName, now: datetime) -> Pause | None:
    """Return the pause that holds a cluster's schedule at `now`, or None."""
    sql = "SELECT * FROM pauses WHERE cluster = ? AND ended_at IS NULL AND until > ? ORDER BY at DESC LIMIT 1"
    row = next(tx.query(sql, [cluster, iso(now)]), None)
    return _pause(row) if row else None


def newest(tx: Tx, cluster: ClusterName) -> Pause | None:
    """Return the pause of a cluster that began last, over or not, or None."""
    row = next(tx.query("SELECT * FROM pauses WHERE cluster = ? ORDER BY at DESC LIMIT 1", [cluster]), None)
    return _pause(row) if row else None


def get(tx: Tx, pause_id: str) -> Pause:
    """Return one pause.

    Raises:
        Usage: there is none of that id.
    """
    row = next(tx.query("SELECT * FROM pauses WHERE id = ?", [pause_id]), None)
    if row is None:
        raise Usage(f"There is no pause {pause_id}.", hint="`pitstop schedule` shows what waits.", code="unknown-pause")
    return _pause(row)


def _pause(row: dict[str, Any]) -> Pause:
    at, until = parse_iso(row["at"]), parse_iso(row["until"])
    assert at is not None
    assert until is not None
    return Pause(
        id=row["id"],
        cluster=ClusterName(row["cluster"]),
        by=Person.from_key(row["by"]),
        by_name=row["by_name"],
        at=at,
        until=until,
        ended_at=parse_iso(row["ended_at"]),
        ended_by=Person.from_key(row["ended_by"]) if row["ended_by"] else None,
    )
