"""Report: what came of it, for people, scripts and the next estimate."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from bot import desk
from bot.model.runs import Phase
from bot.model.servers import Server
from jobs.pitr.replay import Recovered
from jobs.pitr.work import Work


def report(work: Work, recovered: Recovered, found: dict[str, Any], server: Server) -> dict[str, Any]:
    """End the request well and return its result; see `jobs.pitr.run` for the keys.

    Raises:
        Cancelled: the request was cancelled before this.
    """
    result = _result(work, recovered, found, server)
    work.say(lambda: desk.succeed(work.context.ledger, work.request.id, result, work.context.now()))
    return result


def _result(work: Work, recovered: Recovered, found: dict[str, Any], server: Server) -> dict[str, Any]:
    now = work.context.now()
    return {
        "directory": server.directory,
        "dsn": server.dsn,
        "host": server.detail.get("host"),
        "user": server.detail.get("user"),
        "target": work.steps.recovery.target.as_json(),
        "proof": recovered.proof,
        **found,
        "seconds": round(recovered.seconds + time.monotonic() - recovered.at, 3),
        "phases": [_phase(phase, now) for phase in work.context.phases()],
        "bytes": recovered.bytes,
        "wal_bytes": recovered.wal_bytes,
        "disk_bytes": server.size_bytes,
        "backup": work.steps.chain[-1].backup,
        "warnings": list(work.request.plan.facts.warnings) if work.request.plan else [],
        "elsewhere": list(work.stock.elsewhere.sentences),
        "expires_at": server.expires_at.isoformat(),
    }


def _phase(phase: Phase, now: datetime) -> dict[str, Any]:
    seconds = phase.seconds if phase.seconds is not None else (now - phase.started_at).total_seconds()
    return {"name": phase.name, "seconds": round(seconds, 3)}
