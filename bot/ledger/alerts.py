"""Alerts as rows, what the fallback took, and how full disks were."""

from __future__ import annotations

import builtins
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from bot.errors import Conflict, Usage
from bot.ledger.database import Tx, iso, parse_iso
from bot.model.alerts import Alert, AlertState, Concern, Severity
from bot.model.ids import AlertId

_REMEMBERED = timedelta(days=400)


def insert(tx: Tx, alert: Alert) -> None:
    """Write a new alert."""
    row = _row(alert)
    columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    tx.execute(f"INSERT INTO alerts ({columns}) VALUES ({marks})", row)  # noqa: S608 - the names are ours


def update(tx: Tx, alert: Alert) -> None:
    """Write a changed alert over the version before it (`alert.version` - 1).

    Raises:
        Conflict: somebody else changed it first.
    """
    row = _row(alert)
    changes = ", ".join(f"{name} = :{name}" for name in row if name != "id")
    sql = f"UPDATE alerts SET {changes} WHERE id = :id AND version = :before"  # noqa: S608 - the names are ours
    if tx.execute(sql, {**row, "before": alert.version - 1}).rowcount != 1:
        raise Conflict(f"Alert {alert.id} changed at the same moment.", hint="Look at it again.", code="changed")


def get(tx: Tx, alert_id: AlertId) -> Alert:
    """Return one alert.

    Raises:
        Usage: there is none of that id.
    """
    row = next(tx.query("SELECT * FROM alerts WHERE id = ?", [alert_id]), None)
    if row is None:
        raise Usage(
            f"There is no alert {alert_id}.", hint="`pitstop alert list --all` shows them.", code="unknown-alert"
        )
    return _alert(row)


def find(tx: Tx, condition: str, cluster: str, subject: str) -> Alert | None:
    """Return the alert of a condition, or None when it never held."""
    sql = "SELECT * FROM alerts WHERE condition = ? AND cluster = ? AND subject = ?"
    row = next(tx.query(sql, [condition, cluster, subject]), None)
    return _alert(row) if row else None


def list(  # noqa: A001
    tx: Tx, *, cluster: str | None = None, states: Collection[AlertState] = tuple(AlertState)
) -> builtins.list[Alert]:
    """Return alerts, the most severe first, then the newest; a cluster's come with those of the host."""
    words = ", ".join(f"'{state.value}'" for state in states)
    sql = f"SELECT * FROM alerts WHERE state IN ({words}) AND (? IS NULL OR cluster IN (?, ''))"  # noqa: S608
    found = [_alert(row) for row in tx.query(sql, [cluster, cluster])]
    return sorted(found, key=lambda alert: (-alert.concern.severity.rank, -alert.opened_at.timestamp(), alert.id))


def noticed(tx: Tx) -> set[str]:
    """Return the keys of the notices that the fallback took."""
    return {str(row["key"]) for row in tx.query("SELECT key FROM notices")}


def notice(tx: Tx, key: str, at: datetime) -> None:
    """Note that the fallback took a notice; those of more than a year ago are forgotten."""
    tx.execute("INSERT OR IGNORE INTO notices (key, sent_at) VALUES (?, ?)", [key, iso(at)])
    tx.execute("DELETE FROM notices WHERE sent_at < ?", [iso(at - _REMEMBERED)])


def sample(tx: Tx, name: str, at: datetime, value: int, *, since: datetime) -> None:
    """Keep how many bytes were used; what is older than `since` is forgotten."""
    tx.execute("INSERT OR REPLACE INTO samples (name, at, value) VALUES (?, ?, ?)", [name, iso(at), value])
    tx.execute("DELETE FROM samples WHERE name = ? AND at < ?", [name, iso(since)])


def samples(tx: Tx, name: str) -> builtins.list[tuple[datetime, int]]:
    """Return what was kept of a disk, oldest first."""
    rows = tx.query("SELECT at, value FROM samples WHERE name = ? ORDER BY at", [name])
    return [(at, int(row["value"])) for row in rows if (at := parse_iso(row["at"])) is not None]


def _row(alert: Alert) -> dict[str, Any]:
    concern = alert.concern
    return {
        "id": alert.id,
        "condition": concern.condition,
        "cluster": concern.cluster,
        "subject": concern.subject,
        "severity": concern.severity.value,
        "sentence": concern.sentence,
        "fix": concern.fix,
        "occurrence": concern.occurrence,
        "state": alert.state.value,
        "version": alert.version,
        "opened_at": iso(alert.opened_at),
        "changed_at": iso(alert.changed_at),
        "episode": alert.episode,
        "calls": alert.calls,
        "worst": alert.worst.value,
        "by_name": alert.by,
        "snoozed_until": iso(alert.snoozed_until) if alert.snoozed_until else None,
        "resolved_at": iso(alert.resolved_at) if alert.resolved_at else None,
    }


def _alert(row: dict[str, Any]) -> Alert:
    opened_at, changed_at = parse_iso(row["opened_at"]), parse_iso(row["changed_at"])
    assert opened_at is not None
    assert changed_at is not None
    return Alert(
        id=AlertId(row["id"]),
        concern=Concern(
            condition=row["condition"],
            cluster=row["cluster"],
            subject=row["subject"],
            severity=Severity(row["severity"]),
            sentence=row["sentence"],
            fix=row["fix"],
            occurrence=row["occurrence"],
        ),
        state=AlertState(row["state"]),
        version=row["version"],
        opened_at=opened_at,
        changed_at=changed_at,
        episode=row["episode"],
        calls=row["calls"],
        worst=Severity(row["worst"]),
        by=row["by_name"],
        snoozed_until=parse_iso(row["snoozed_until"]),
        resolved_at=parse_iso(row["resolved_at"]),
    )
