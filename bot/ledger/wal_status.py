"""What the receiver last said about each cluster's WAL, per repository."""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName, SystemId
from bot.model.wal import Lsn


@dataclass(frozen=True, slots=True)
class WalStatus:
    """How far WAL is received, durable in the repository, and written by the server, as of `at` (aware UTC).

    `window` is the recovery window as JSON: `{"from", "to"}` ISO times, oldest first, with holes between them.
    `covered_until`: all that the server had written by then is durable; None while nobody knows.
    `server_at`: when the server last said where it stands, by its own clock; None while it never did.
    `away_since`: it has not answered the receiver since then; None while it does.
    """

    cluster: ClusterName
    repository: str
    system_id: SystemId
    timeline: int
    received_lsn: Lsn
    durable_lsn: Lsn
    server_lsn: Lsn
    window: tuple[dict[str, str], ...]
    at: datetime
    covered_until: datetime | None = None
    server_at: datetime | None = None
    away_since: datetime | None = None


def put(tx: Tx, status: WalStatus, *, window_known: bool = True) -> None:
    """Write the newest word over the one before; what was covered, and heard, stays so while the newest word does not know.

    So does the window of the same server with `window_known` false: a receiver that has just begun has not worked it out.
    """
    before = "FROM wal_status WHERE cluster = ? AND repository = ?"
    tx.execute(
        "INSERT OR REPLACE INTO wal_status"  # noqa: S608 - our own words
        " (cluster, repository, system_id, timeline, received_lsn, durable_lsn, server_lsn, window, at, covered_until,"
        " server_at, away_since)"
        f" VALUES (?, ?, ?, ?, ?, ?, ?, coalesce(?, (SELECT window {before} AND system_id = ?), '[]'), ?,"
        f" coalesce(?, (SELECT covered_until {before})),"
        f" coalesce(?, (SELECT server_at {before})), ?)",
        [
            status.cluster,
            status.repository,
            status.system_id,
            status.timeline,
            str(status.received_lsn),
            str(status.durable_lsn),
            str(status.server_lsn),
            json.dumps(status.window) if window_known else None,
            status.cluster,
            status.repository,
            status.system_id,
            iso(status.at),
            iso(status.covered_until) if status.covered_until else None,
            status.cluster,
            status.repository,
            iso(status.server_at) if status.server_at else None,
            status.cluster,
            status.repository,
            iso(status.away_since) if status.away_since else None,
        ],
    )


def put_away(tx: Tx, cluster: ClusterName, since: datetime) -> None:
    """Note that the server has not answered since then, where a receiver has nothing else to say yet."""
    tx.execute("UPDATE wal_status SET away_since = coalesce(away_since, ?) WHERE cluster = ?", [iso(since), cluster])


def list(tx: Tx, cluster: ClusterName) -> builtins.list[WalStatus]:  # noqa: A001
    """Return what is known about a cluster, one entry per repository, by name."""
    return [
        _status(row) for row in tx.query("SELECT * FROM wal_status WHERE cluster = ? ORDER BY repository", [cluster])
    ]


def _status(row: dict[str, Any]) -> WalStatus:
    at = parse_iso(row["at"])
    assert at is not None
    return WalStatus(
        ClusterName(row["cluster"]),
        row["repository"],
        SystemId(row["system_id"]),
        row["timeline"],
        Lsn.parse(row["received_lsn"]),
        Lsn.parse(row["durable_lsn"]),
        Lsn.parse(row["server_lsn"]),
        tuple(json.loads(row["window"])),
        at,
        parse_iso(row["covered_until"]),
        parse_iso(row["server_at"]),
        parse_iso(row["away_since"]),
    )
