"""Leases: what a request needs until it ends; retention skips it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bot.ledger.database import Tx
from bot.model.ids import BackupId, ClusterName, RequestId
from bot.model.wal import Lsn


@dataclass(frozen=True, slots=True)
class Lease:
    """Backups of one repository, and the WAL [start, end) of the timeline the target is on, that must stay."""

    request: RequestId
    repository: str
    cluster: ClusterName
    backups: tuple[BackupId, ...]
    timeline: int
    start: Lsn
    end: Lsn


def take(tx: Tx, lease: Lease) -> None:
    """Lease, or replace what the request leased before."""
    wal = {"timeline": lease.timeline, "from": str(lease.start), "to": str(lease.end)}
    tx.execute(
        "INSERT OR REPLACE INTO leases (request, repository, cluster, backups, wal) VALUES (?, ?, ?, ?, ?)",
        [lease.request, lease.repository, lease.cluster, json.dumps(lease.backups), json.dumps(wal)],
    )


def drop(tx: Tx, request: RequestId) -> None:
    """End a request's lease. Idempotent."""
    tx.execute("DELETE FROM leases WHERE request = ?", [request])


def held(tx: Tx, cluster: ClusterName) -> tuple[Lease, ...]:
    """Return every lease on a cluster's backups and WAL."""
    return tuple(_lease(row) for row in tx.query("SELECT * FROM leases WHERE cluster = ? ORDER BY request", [cluster]))


def _lease(row: dict[str, str]) -> Lease:
    wal = json.loads(row["wal"])
    return Lease(
        RequestId(row["request"]),
        row["repository"],
        ClusterName(row["cluster"]),
        tuple(BackupId(backup) for backup in json.loads(row["backups"])),
        wal["timeline"],
        Lsn.parse(wal["from"]),
        Lsn.parse(wal["to"]),
    )
