"""What people noted of rehearsals: who walked through a request and an approval, and what they found."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName, RunId
from bot.model.people import Person


@dataclass(frozen=True, slots=True)
class Notes:
    """What somebody wrote about the rehearsal that `run` reminded of; `went_well` is their own word."""

    run: RunId
    cluster: ClusterName
    by: Person
    by_name: str
    went_well: bool
    text: str
    at: datetime


def add(tx: Tx, notes: Notes) -> None:
    """Write somebody's notes; the same person's newer ones take their place."""
    tx.execute(
        "INSERT OR REPLACE INTO rehearsals (run, cluster, by, by_name, went_well, text, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [notes.run, notes.cluster, notes.by.key, notes.by_name, int(notes.went_well), notes.text, iso(notes.at)],
    )


def of_run(tx: Tx, run: RunId) -> builtins.list[Notes]:
    """Return the notes of one rehearsal, in the order they were written."""
    return [_notes(row) for row in tx.query("SELECT * FROM rehearsals WHERE run = ? ORDER BY at", [run])]


def newest(tx: Tx, cluster: ClusterName) -> Notes | None:
    """Return the last notes of a cluster's rehearsals, or None."""
    row = next(tx.query("SELECT * FROM rehearsals WHERE cluster = ? ORDER BY at DESC LIMIT 1", [cluster]), None)
    return _notes(row) if row else None


def _notes(row: dict[str, Any]) -> Notes:
    at = parse_iso(row["at"])
    assert at is not None
    run, cluster, by = RunId(row["run"]), ClusterName(row["cluster"]), Person.from_key(row["by"])
    return Notes(run, cluster, by, row["by_name"], bool(row["went_well"]), row["text"], at)
