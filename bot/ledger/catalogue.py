"""The ledger's copy of what the repositories hold: lists and pickers are fed from it, never from storage."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable

from bot.ledger.database import Tx
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName


def replace(tx: Tx, cluster: ClusterName, repository: str, summaries: Iterable[BackupSummary]) -> None:
    """Make the copy of one cluster in one repository exactly `summaries`."""
    tx.execute("DELETE FROM catalogue WHERE cluster = ? AND repository = ?", [cluster, repository])
    for summary in summaries:
        add(tx, cluster, repository, summary)


def add(tx: Tx, cluster: ClusterName, repository: str, summary: BackupSummary) -> None:
    """Add one backup, or write what is now known over what was."""
    tx.execute(
        "INSERT INTO catalogue (cluster, repository, backup, summary) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (cluster, repository, backup) DO UPDATE SET summary = excluded.summary",
        [cluster, repository, summary.id, json.dumps(summary.as_json(), ensure_ascii=False)],
    )


def list(tx: Tx, cluster: ClusterName, repository: str | None = None) -> builtins.list[BackupSummary]:  # noqa: A001
    """Return a cluster's backups, newest first; one that several repositories hold comes once."""
    sql = (
        "SELECT backup, summary FROM catalogue WHERE cluster = ? AND (? IS NULL OR repository = ?)"
        " GROUP BY backup ORDER BY backup DESC"
    )
    rows = tx.query(sql, [cluster, repository, repository])
    return [BackupSummary.from_json(json.loads(row["summary"])) for row in rows]


def find(tx: Tx, cluster: ClusterName, backup: BackupId) -> BackupSummary | None:
    """Return one backup's summary, or None."""
    sql = "SELECT summary FROM catalogue WHERE cluster = ? AND backup = ? LIMIT 1"
    row = tx.execute(sql, [cluster, backup]).fetchone()
    return BackupSummary.from_json(json.loads(row[0])) if row else None


def locate(tx: Tx, backup: BackupId) -> BackupSummary | None:
    """Return one backup's summary, whichever cluster it is of, or None."""
    row = tx.execute("SELECT summary FROM catalogue WHERE backup = ? LIMIT 1", [backup]).fetchone()
    return BackupSummary.from_json(json.loads(row[0])) if row else None


def repositories(tx: Tx, cluster: ClusterName, backup: BackupId) -> tuple[str, ...]:
    """Return the names of the repositories that hold a backup."""
    sql = "SELECT repository FROM catalogue WHERE cluster = ? AND backup = ? ORDER BY repository"
    return tuple(str(row["repository"]) for row in tx.query(sql, [cluster, backup]))
