"""The ledger's copy of what is in each backup, from its manifest: shown and picked from without reading storage."""

from __future__ import annotations

import json

from bot.ledger.database import Tx
from bot.model.contents import Contents
from bot.model.ids import BackupId, ClusterName


def put(tx: Tx, cluster: ClusterName, backup: BackupId, contents: Contents) -> None:
    """Keep what is in a backup. Idempotent."""
    body = json.dumps(contents.as_json(), ensure_ascii=False)
    tx.execute("INSERT OR REPLACE INTO contents (cluster, backup, body) VALUES (?, ?, ?)", [cluster, backup, body])


def find(tx: Tx, cluster: ClusterName, backup: BackupId) -> Contents | None:
    """Return what is in a backup, or None while nobody has read its manifest."""
    row = tx.execute("SELECT body FROM contents WHERE cluster = ? AND backup = ?", [cluster, backup]).fetchone()
    return Contents.from_json(json.loads(row[0])) if row else None


def unknown(tx: Tx, cluster: ClusterName, repository: str) -> list[BackupId]:
    """Return the backups of the catalogue whose contents are not known yet, newest first."""
    sql = (
        "SELECT backup FROM catalogue WHERE cluster = ? AND repository = ?"
        " AND backup NOT IN (SELECT backup FROM contents WHERE cluster = ?) ORDER BY backup DESC"
    )
    return [BackupId(row["backup"]) for row in tx.query(sql, [cluster, repository, cluster])]


def forget_gone(tx: Tx, cluster: ClusterName) -> None:
    """Drop what is kept of backups that no repository holds any more."""
    sql = "DELETE FROM contents WHERE cluster = ? AND backup NOT IN (SELECT backup FROM catalogue WHERE cluster = ?)"
    tx.execute(sql, [cluster, cluster])
