"""What stays of a drill: events beside the backup it proved, the renewed list, and the run's result."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from bot.errors import PitstopError
from bot.model.backups import BackupSummary
from bot.model.drill_report import as_markdown
from bot.model.drills import Proof
from bot.repository.events import COPY_DAMAGED
from jobs.catalogue import publish_catalogue
from jobs.drill.work import Drill

_TABLES_IN_EVENT = 100


def record(drill: Drill, backup: BackupSummary, proof: Proof) -> list[str]:
    """Keep the report beside the backup, and say `verified` or `copy-damaged` of it; return in sentences what could not be kept.

    `verified` only when everything that proves it passed; `copy-damaged` only when an object of the backup is: a damaged page
    that was already in the cluster is no fault of the backup, which may be the best there is.
    """
    repository, at = drill.repository(backup), drill.context.now()
    try:
        repository.record_event(backup.id, "report", at=at, text=_report(drill, proof))
        if proof.object_damage:
            repository.record_event(
                backup.id, COPY_DAMAGED, at=at + timedelta(microseconds=1), text=proof.object_damage[:500]
            )
        elif proof.verified:
            repository.record_event(
                backup.id, "verified", at=at + timedelta(microseconds=1), text=f"drill {drill.context.run.id}"
            )
        publish_catalogue(drill.context, repository, proof.repository)
    except PitstopError as error:
        return [f"The report of {backup.id} was not kept in the repository: {error.message}"]
    return []


def result(proofs: list[Proof], warnings: list[str], seconds: float) -> dict[str, Any]:
    """Return what the run answers; see `jobs.drill.take.run`."""
    return {
        "ok": all(proof.ok for proof in proofs),
        "damaged": any(proof.damaged for proof in proofs),
        "proofs": [proof.as_json() for proof in proofs],
        "seconds": round(seconds, 3),
        "warnings": warnings,
    }


def _report(drill: Drill, proof: Proof) -> str:
    found = proof.as_json()
    shown = {**found, "tables": found["tables"][:_TABLES_IN_EVENT]}
    at = drill.context.now()
    body = {"format": 1, "run": drill.context.run.id, "at": at.isoformat(), "proof": shown}
    return json.dumps({**body, "markdown": as_markdown(proof, at)}, ensure_ascii=False)
