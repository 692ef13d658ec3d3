"""The ledger's copy of what the repositories hold: lists and pickers are fed from it, never from storage."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from bot.ledger.database import Tx
from bot.model.backups import BackupSummary, Seen
from bot.model.copies import merged
from bot.model.ids import BackupId, ClusterName


def replace(
    tx: Tx,
    cluster: ClusterName,
    repository: str,
    summaries: Iterable[BackupSummary],
    seen: Mapping[BackupId, Seen] | None = None,
) -> None:
    """Make the copy of one cluster in one repository exactly `summaries`, and remember what they were read from."""
    sql = "SELECT backup, summary, seen FROM catalogue WHERE cluster = ? AND repository = ?"
    there = {row["backup"]: (row["summary"], row["seen"]) for row in tx.query(sql, [cluster, repository])}
    wanted = {one.id: (_text(one.as_json()), _seen_text((seen or {}).get(one.id))) for one in summaries}
    for backup in there.keys() - wanted.keys():
        tx.execute(
            "DELETE FROM catalogue WHERE cluster = ? AND repository = ? AND backup = ?", [cluster, repository, backup]
        )
    for backup, (summary, read) in wanted.items():
        if there.get(backup) != (summary, read):
            _put(tx, cluster, repository, backup, summary, read)


def seen(tx: Tx, cluster: ClusterName, repository: str) -> dict[BackupId, Seen]:
    """Return what is remembered of one cluster's backups in one repository; see `bot.repository.catalogue`."""
    sql = "SELECT backup, summary, seen FROM catalogue WHERE cluster = ? AND repository = ? AND seen <> ''"
    found = {}
    for row in tx.query(sql, [cluster, repository]):
        stamp, *keys = json.loads(row["seen"])
        found[BackupId(row["backup"])] = Seen(_summary(row), stamp, tuple(keys))
    return found


def add(tx: Tx, cluster: ClusterName, repository: str, summary: BackupSummary) -> None:
    """Add one backup, or write what is now known over what was."""
    _put(tx, cluster, repository, summary.id, _text(summary.as_json()), "")


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


def _put(tx: Tx, cluster: ClusterName, repository: str, backup: BackupId, summary: str, read: str) -> None:
    tx.execute(
        "INSERT INTO catalogue (cluster, repository, backup, summary, seen) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (cluster, repository, backup) DO UPDATE SET summary = excluded.summary, seen = excluded.seen",
        [cluster, repository, backup, summary, read],
    )


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _seen_text(one: Seen | None) -> str:
    return _text([one.stamp, *one.keys]) if one else ""


def _merged(rows: Iterable[dict[str, Any]]) -> builtins.list[BackupSummary]:
    grouped = groupby(rows, key=lambda row: str(row["backup"]))
    return [merged([_summary(row) for row in same]) for _, same in grouped]


def _summary(row: dict[str, Any]) -> BackupSummary:
    return BackupSummary.from_json(json.loads(row["summary"]))
