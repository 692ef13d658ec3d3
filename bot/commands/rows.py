"""Rows of the ledger as `--json` shows them. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.model.kept import Kept
from bot.model.requests import Request
from bot.model.runs import Run
from bot.model.servers import Server


def request_row(request: Request) -> dict[str, Any]:
    """Return a request as JSON: its plan's steps and facts, decisions and outcome included."""
    plan = request.plan
    return {
        "id": request.id,
        "verb": request.verb,
        "cluster": request.cluster,
        "state": request.state.value,
        "requester": request.requester.key,
        "requester_name": request.requester_name,
        "reason": request.reason,
        "target": request.target.as_json(),
        "target_text": request.target_text,
        "destination": request.destination,
        "created_at": _iso(request.created_at),
        "changed_at": _iso(request.changed_at),
        "expires_at": _iso(request.expires_at),
        "quorum": request.quorum,
        "decisions": [
            {"by": d.by.key, "verdict": d.verdict, "reason": d.reason, "at": _iso(d.at)} for d in request.decisions
        ],
        "plan": {"steps": plan.steps.as_json(), "facts": plan.facts.as_json(), "steps_hash": plan.steps_hash}
        if plan
        else None,
        "run": request.run,
        "outcome": request.outcome,
    }


def run_row(run: Run) -> dict[str, Any]:
    """Return a run as JSON."""
    return {
        "id": run.id,
        "job": run.job.value,
        "cluster": run.cluster,
        "state": run.state.value,
        "queued_at": _iso(run.queued_at),
        "queued_by": run.queued_by,
        "request": run.request,
        "scheduled_for": run.scheduled_for,
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "phase": run.phase,
        "phases": [{"name": p.name, "started_at": _iso(p.started_at), "seconds": p.seconds} for p in run.phases],
        "bytes_done": run.bytes_done,
        "bytes_total": run.bytes_total,
        "note": run.note,
        "result": run.result,
        "error": run.error,
    }


def server_row(server: Server) -> dict[str, Any]:
    """Return a server beside as JSON; what only its keeper needs is left out."""
    return {
        "id": server.id,
        "cluster": server.cluster,
        "state": server.state.value,
        "owner": server.owner.key,
        "directory": server.directory,
        "dsn": server.dsn,
        "bytes": server.size_bytes,
        "started_at": _iso(server.started_at),
        "expires_at": _iso(server.expires_at),
    }


def kept_row(kept: Kept) -> dict[str, Any]:
    """Return a kept database as JSON."""
    return {
        "request": kept.id,
        "cluster": kept.cluster,
        "state": kept.state.value,
        "database": kept.database,
        "name": kept.name,
        "oid": kept.oid,
        "owner": kept.owner.key,
        "bytes": kept.size_bytes,
        "kept_at": _iso(kept.kept_at),
        "remove_at": _iso(kept.remove_at),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
