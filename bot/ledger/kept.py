"""Kept databases, and the journal of the swaps that made them, as rows."""

from __future__ import annotations

import builtins
import json
from datetime import datetime
from typing import Any

from bot.errors import Conflict, Usage
from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName, RequestId
from bot.model.kept import Kept, KeptState
from bot.model.people import Person
from bot.model.swaps import Swap, SwapStep


def insert(tx: Tx, kept: Kept) -> None:
    """Write a newly kept database."""
    row = _row(kept)
    columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    tx.execute(f"INSERT INTO kept ({columns}) VALUES ({marks})", row)  # noqa: S608 - the names are ours


def update(tx: Tx, kept: Kept) -> None:
    """Write a changed one over the version before it (`kept.version` - 1).

    Raises:
        Conflict: somebody else changed it first.
    """
    row = _row(kept)
    changes = ", ".join(f"{name} = :{name}" for name in row if name != "id")
    sql = f"UPDATE kept SET {changes} WHERE id = :id AND version = :before"  # noqa: S608 - the names are ours
    if tx.execute(sql, {**row, "before": kept.version - 1}).rowcount != 1:
        raise Conflict(
            f"The kept database of {kept.id} changed at the same moment.", hint="Look again.", code="changed"
        )


def find(tx: Tx, request: RequestId) -> Kept | None:
    """Return what a request keeps, or None."""
    row = next(tx.query("SELECT * FROM kept WHERE id = ?", [request]), None)
    return _kept(row) if row else None


def get(tx: Tx, request: RequestId) -> Kept:
    """Return what a request keeps.

    Raises:
        Usage: it keeps nothing.
    """
    kept = find(tx, request)
    if kept is None:
        raise Usage(f"Request {request} keeps no database.", hint="`pitstop kept list`", code="unknown-kept")
    return kept


def list(tx: Tx, *, cluster: ClusterName | None = None, all_: bool = False) -> builtins.list[Kept]:  # noqa: A001
    """Return the databases that are kept, newest first; with `all_` those of the past too."""
    sql = (
        "SELECT * FROM kept WHERE (:cluster IS NULL OR cluster = :cluster) AND (:all OR state = 'kept')"
        " ORDER BY kept_at DESC, id"
    )
    return [_kept(row) for row in tx.query(sql, {"cluster": cluster, "all": int(all_)})]


def due(tx: Tx, at: datetime) -> builtins.list[Kept]:
    """Return the kept databases whose `remove_at` is not later than `at`."""
    return [_kept(row) for row in tx.query("SELECT * FROM kept WHERE state = 'kept' AND remove_at <= ?", [iso(at)])]


def journal(tx: Tx, request: RequestId, step: SwapStep, swap: Swap | None, at: datetime) -> None:
    """Write that a step of a request's swap begins; `swap` once its OIDs are known."""
    body = None if swap is None else json.dumps(_swap_json(swap), ensure_ascii=False)
    tx.execute(
        "INSERT INTO swaps (request, step, swap, at) VALUES (?, ?, ?, ?) ON CONFLICT (request)"
        " DO UPDATE SET step = excluded.step, swap = coalesce(excluded.swap, swap), at = excluded.at",
        [request, step.value, body, iso(at)],
    )


def journalled(tx: Tx, request: RequestId) -> tuple[SwapStep, Swap | None] | None:
    """Return the step that a request's swap was in last, and the swap; None before its first."""
    row = next(tx.query("SELECT step, swap FROM swaps WHERE request = ?", [request]), None)
    if row is None:
        return None
    swap = json.loads(row["swap"]) if row["swap"] else None
    return SwapStep(row["step"]), Swap(**swap) if swap else None


def _swap_json(swap: Swap) -> dict[str, Any]:
    return {
        "request": swap.request,
        "database": swap.database,
        "oid": swap.oid,
        "incoming": swap.incoming,
        "incoming_oid": swap.incoming_oid,
        "outgoing": swap.outgoing,
    }


def _row(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.id,
        "cluster": kept.cluster,
        "database": kept.database,
        "name": kept.name,
        "oid": kept.oid,
        "current_oid": kept.current_oid,
        "state": kept.state.value,
        "version": kept.version,
        "owner": kept.owner.key,
        "bytes": kept.size_bytes,
        "kept_at": iso(kept.kept_at),
        "remove_at": iso(kept.remove_at),
        "announced_at": iso(kept.announced_at) if kept.announced_at else None,
    }


def _kept(row: dict[str, Any]) -> Kept:
    kept_at, remove_at = parse_iso(row["kept_at"]), parse_iso(row["remove_at"])
    assert kept_at is not None
    assert remove_at is not None
    return Kept(
        id=RequestId(row["id"]),
        cluster=ClusterName(row["cluster"]),
        database=row["database"],
        name=row["name"],
        oid=row["oid"],
        current_oid=row["current_oid"],
        state=KeptState(row["state"]),
        version=row["version"],
        owner=Person.from_key(row["owner"]),
        size_bytes=row["bytes"],
        kept_at=kept_at,
        remove_at=remove_at,
        announced_at=parse_iso(row["announced_at"]),
    )
