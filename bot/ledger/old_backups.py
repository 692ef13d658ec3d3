"""The ledger's list of the files that older scripts left: shown and picked from without looking into their folder."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from dataclasses import replace as changed
from datetime import datetime
from pathlib import Path

from bot.ledger import runs
from bot.ledger.database import Tx, iso
from bot.model.ids import ClusterName
from bot.model.old_backups import OldBackup, names_old_backup
from bot.model.runs import Job, RunState

_DRILLS_BACK = 500


def replace(tx: Tx, cluster: ClusterName, files: Iterable[OldBackup]) -> None:
    """Make the list of one cluster exactly `files`."""
    tx.execute("DELETE FROM old_backups WHERE cluster = ?", [cluster])
    for one in files:
        row = [cluster, str(one.path), one.bytes, iso(one.changed_at)]
        tx.execute("INSERT INTO old_backups (cluster, path, bytes, changed_at) VALUES (?, ?, ?, ?)", row)


def files(tx: Tx, cluster: ClusterName) -> builtins.list[OldBackup]:
    """Return the files alone, the oldest first: nothing of what became of them."""
    rows = tx.query("SELECT * FROM old_backups WHERE cluster = ?", [cluster])
    found = [OldBackup(Path(row["path"]), row["bytes"], datetime.fromisoformat(row["changed_at"])) for row in rows]
    return sorted(found, key=lambda one: (one.changed_at, one.path.name))


def list(tx: Tx, cluster: ClusterName) -> builtins.list[OldBackup]:  # noqa: A001
    """Return the files, the oldest first, with the dump each became and when a drill proved it."""
    found = files(tx, cluster)
    if not found:
        return []
    became, proofs = _imported(tx, cluster), proved(tx, cluster)
    return [changed(one, imported=became.get(one.path.name), verified_at=proofs.get(one.path.name)) for one in found]


def proved(tx: Tx, cluster: ClusterName) -> dict[str, datetime]:
    """Return when each file was last proved by a drill, by its name."""
    drills = runs.recent(tx, cluster=cluster, jobs=(Job.DRILL,), states=(RunState.SUCCEEDED,), limit=_DRILLS_BACK)
    found = dict[str, datetime]()
    for run in drills:
        for proof in (run.result or {}).get("proofs", ()):
            if proof["verified"] and names_old_backup(proof["backup"]) and run.finished_at:
                found.setdefault(proof["backup"], run.finished_at)
    return found


def _imported(tx: Tx, cluster: ClusterName) -> dict[str, str]:
    """Return the ids of the dumps that were imported, by the names of their files."""
    sql = (
        "SELECT backup, json_extract(body, '$.imported') AS file FROM contents"
        " WHERE cluster = ? AND json_extract(body, '$.imported') <> ''"
    )
    return {str(row["file"]): str(row["backup"]) for row in tx.query(sql, [cluster])}
