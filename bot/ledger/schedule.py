"""What the schedule remembers: since when it counts, and which slot of a job ran last."""

from __future__ import annotations

from datetime import datetime

from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName
from bot.model.runs import Job


def counted_since(tx: Tx, job: Job, cluster: ClusterName, now: datetime) -> datetime:
    """Return when this job of this cluster was first seen in a schedule; `now`, kept from then on, for a new one.

    So a bot that starts for the first time owes nothing, and one that comes back owes what it missed.
    """
    known = since(tx, job, cluster)
    if known is None:
        tx.execute("INSERT INTO settings (name, value) VALUES (?, ?)", [_since(job, cluster), iso(now)])
    return known or now


def since(tx: Tx, job: Job, cluster: ClusterName) -> datetime | None:
    """Return when this job of this cluster was first seen in a schedule, or None before it was."""
    row = next(iter(tx.query("SELECT value FROM settings WHERE name = ?", [_since(job, cluster)])), None)
    return parse_iso(str(row["value"])) if row else None


def _since(job: Job, cluster: ClusterName) -> str:
    return f"schedule-since:{cluster}:{job.value}"


def last_slot(tx: Tx, job: Job, cluster: ClusterName) -> str | None:
    """Return the greatest slot key this job of this cluster was ever queued for; None when there is none.

    A slot key begins with a digit; whatever else a run was queued for says nothing about the schedule.
    """
    sql = "SELECT max(scheduled_for) AS slot FROM runs WHERE job = ? AND cluster = ? AND scheduled_for GLOB '[0-9]*'"
    row = next(iter(tx.query(sql, [job.value, cluster])))
    return None if row["slot"] is None else str(row["slot"])
