"""Requests and their decisions as rows."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from bot.errors import Conflict, Usage
from bot.ledger.database import Tx, iso, parse_iso
from bot.model.canonical import canonical_json
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.people import Person
from bot.model.plans import Facts, Plan, Steps
from bot.model.requests import Decision, Request, State
from bot.model.restores import Wanted
from bot.model.targets import Target


def insert(tx: Tx, request: Request) -> None:
    """Write a new request."""
    row = _row(request)
    columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    tx.execute(f"INSERT INTO requests ({columns}) VALUES ({marks})", row)  # noqa: S608 - the names are ours


def update(tx: Tx, request: Request) -> None:
    """Write a changed request over the version before it (`request.version` - 1), with any decision that is new.

    Raises:
        Conflict: somebody else changed it first.
    """
    row = _row(request)
    changes = ", ".join(f"{name} = :{name}" for name in row if name != "id")
    sql = f"UPDATE requests SET {changes} WHERE id = :id AND version = :before"  # noqa: S608 - the names are ours
    if tx.execute(sql, {**row, "before": request.version - 1}).rowcount != 1:
        raise Conflict(f"Request {request.id} changed at the same moment.", hint="Look at it again.", code="changed")
    for decision in request.decisions:
        _decide(tx, request.id, decision)


def get(tx: Tx, request_id: RequestId) -> Request:
    """Return one request with its decisions.

    Raises:
        Usage: there is none of that id.
    """
    row = next(tx.query("SELECT * FROM requests WHERE id = ?", [request_id]), None)
    if row is None:
        raise Usage(f"There is no request {request_id}.", hint="`pitstop request list`", code="unknown-request")
    return _request(tx, row)


def recent(
    tx: Tx, *, cluster: ClusterName | None = None, states: Collection[State] = tuple(State), limit: int = 50
) -> list[Request]:
    """Return requests that match, newest first."""
    words = ", ".join(f"'{state.value}'" for state in states)
    sql = (
        "SELECT * FROM requests WHERE (:cluster IS NULL OR cluster = :cluster)"  # noqa: S608 - the words are ours
        f" AND state IN ({words}) ORDER BY created_at DESC, id LIMIT :limit"
    )
    rows = list(tx.query(sql, {"cluster": cluster, "limit": limit}))
    return [_request(tx, row) for row in rows]


def lapsed(tx: Tx, at: datetime) -> list[RequestId]:
    """Return the requests whose time is up and that still wait for a plan, a person or the executor."""
    sql = (
        "SELECT id FROM requests WHERE state IN ('planning', 'proposed', 'pending', 'approved')"
        " AND expires_at <= ? ORDER BY expires_at"
    )
    return [RequestId(row["id"]) for row in tx.query(sql, [iso(at)])]


def unwoken(tx: Tx, pending_since: datetime) -> list[RequestId]:
    """Return requests that are PENDING since before `pending_since` and whose approvers were not woken yet."""
    sql = "SELECT id FROM requests WHERE state = 'pending' AND woken_at IS NULL AND pending_at <= ? ORDER BY pending_at"
    return [RequestId(row["id"]) for row in tx.query(sql, [iso(pending_since)])]


def stored_steps_hash(tx: Tx, request_id: RequestId) -> str | None:
    """Return the hash that was written when the plan was proposed, beside the steps themselves."""
    row = tx.execute("SELECT steps_hash FROM requests WHERE id = ?", [request_id]).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def _decide(tx: Tx, request_id: RequestId, decision: Decision) -> None:
    tx.execute(
        "INSERT INTO decisions (request, person, verdict, reason, at, steps_hash, name) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (request, person) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason,"
        " at = excluded.at, steps_hash = excluded.steps_hash, name = excluded.name",
        [
            request_id,
            decision.by.key,
            decision.verdict,
            decision.reason,
            iso(decision.at),
            decision.steps_hash,
            decision.name,
        ],
    )


def _row(request: Request) -> dict[str, Any]:
    plan = request.plan
    return {
        "id": request.id,
        "verb": request.verb,
        "cluster": request.cluster,
        "state": request.state.value,
        "version": request.version,
        "requester": request.requester.key,
        "requester_name": request.requester_name,
        "reason": request.reason,
        "target": _text(request.target.as_json()),
        "target_text": request.target_text,
        "destination": _text(request.destination),
        "created_at": iso(request.created_at),
        "changed_at": iso(request.changed_at),
        "expires_at": iso(request.expires_at) if request.expires_at else None,
        "quorum": request.quorum,
        "steps": canonical_json(plan.steps.as_json()).decode() if plan else None,
        "facts": _text(plan.facts.as_json()) if plan else None,
        "steps_hash": plan.steps_hash if plan else None,
        "run": request.run,
        "resume_state": request.resume_state.value if request.resume_state else None,
        "outcome": _text(request.outcome),
        "asked_in": request.asked_in,
        "woken_at": iso(request.woken_at) if request.woken_at else None,
        "pending_at": iso(request.pending_at) if request.pending_at else None,
    }


def _request(tx: Tx, row: dict[str, Any]) -> Request:
    created_at, changed_at = parse_iso(row["created_at"]), parse_iso(row["changed_at"])
    assert created_at is not None
    assert changed_at is not None
    return Request(
        id=RequestId(row["id"]),
        verb=row["verb"],
        cluster=ClusterName(row["cluster"]),
        state=State(row["state"]),
        version=row["version"],
        requester=Person.from_key(row["requester"]),
        requester_name=row["requester_name"],
        reason=row["reason"],
        target=_target(json.loads(row["target"])),
        target_text=row["target_text"],
        destination=json.loads(row["destination"]),
        created_at=created_at,
        changed_at=changed_at,
        quorum=row["quorum"],
        expires_at=parse_iso(row["expires_at"]),
        plan=_plan(row),
        decisions=_decisions(tx, RequestId(row["id"])),
        run=RunId(row["run"]) if row["run"] else None,
        resume_state=State(row["resume_state"]) if row["resume_state"] else None,
        outcome=json.loads(row["outcome"]) if row["outcome"] else None,
        asked_in=row["asked_in"],
        woken_at=parse_iso(row["woken_at"]),
        pending_at=parse_iso(row["pending_at"]),
    )


def _target(data: dict[str, Any]) -> Target | Wanted:
    return Wanted.from_json(data) if data["kind"] == "backup" else Target.from_json(data)


def _plan(row: dict[str, Any]) -> Plan | None:
    if row["steps"] is None:
        return None
    return Plan(Steps.from_json(json.loads(row["steps"])), Facts.from_json(json.loads(row["facts"])))


def _decisions(tx: Tx, request_id: RequestId) -> tuple[Decision, ...]:
    rows = tx.query("SELECT * FROM decisions WHERE request = ? ORDER BY at, person", [request_id])
    return tuple(_decision(row) for row in rows)


def _decision(row: dict[str, Any]) -> Decision:
    at = parse_iso(row["at"])
    assert at is not None
    return Decision(Person.from_key(row["person"]), row["verdict"], row["reason"], at, row["name"], row["steps_hash"])


def _text(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
