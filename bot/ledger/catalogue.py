"""The ledger's copy of what the repositories hold: lists and pickers are fed from it, never from storage."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from bot.ledger.database import Tx
from bot.model.backups import BackupSummary
from bot.model.copies import merged
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
    """Return a cluster's backups, newest first; one that several repositories hold comes once, as `merged` says of it."""
    sql = (
        "SELECT backup, summary FROM catalogue WHERE cluster = ? AND (? IS NULL OR repository = ?)"
        " ORDER BY backup DESC, repository"
    )
    return _merged(tx.query(sql, [cluster, repository, repository]))


def find(tx: Tx, cluster: ClusterName, backup: BackupId) -> BackupSummary | None:
    """Return what is known of one backup, or None."""
    sql = "SELECT backup, summary FROM catalogue WHERE cluster = ? AND backup = ? ORDER BY repository"
    return next(iter(_merged(tx.query(sql, [cluster, backup]))), None)


def locate(tx: Tx, backup: BackupId) -> BackupSummary | None:
    """Return what is known of one backup, whichever cluster it is of, or None."""
    sql = "SELECT backup, summary FROM catalogue WHERE backup = ? ORDER BY cluster, repository"
    return next(iter(_merged(tx.query(sql, [backup]))), None)


def copies(tx: Tx, cluster: ClusterName, backup: BackupId) -> dict[str, BackupSummary]:
    """Return one backup as each repository that holds it lists it, by the repository's name."""
    sql = "SELECT repository, summary FROM catalogue WHERE cluster = ? AND backup = ? ORDER BY repository"
    return {str(row["repository"]): _summary(row) for row in tx.query(sql, [cluster, backup])}


def repositories(tx: Tx, cluster: ClusterName, backup: BackupId) -> tuple[str, ...]:
    """Return the names of the repositories that hold a backup."""
    sql = "SELECT repository FROM catalogue WHERE cluster = ? AND backup = ? ORDER BY repository"
    return tuple(str(row["repository"]) for row in tx.query(sql, [cluster, backup]))


def _merged(rows: Iterable[dict[str, Any]]) -> builtins.list[BackupSummary]:
    grouped = groupby(rows, key=lambda row: str(row["backup"]))
    return [merged([_summary(row) for row in same]) for _, same in grouped]


def _summary(row: dict[str, Any]) -> BackupSummary:
    return BackupSummary.from_json(json.loads(row["summary"]))
