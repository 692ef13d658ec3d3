"""Rows: tables that lost many of them since the dumps before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from bot.model.alerts import Concern, Severity
from bot.model.runs import Run

_NAMED = 3


def row_counts(cluster: str, dumps: Sequence[Run]) -> list[Concern]:
    """Say what the newest dump of everything found; `dumps` are successful runs, the newest first."""
    results = [(run.result or {}).get("fallen") for run in dumps]
    told = next((found for found in results if found is not None), None)
    return [_concern(cluster, told)] if told else []


def _concern(cluster: str, told: Sequence[dict[str, Any]]) -> Concern:
    """Name the first tables; acknowledged it stays quiet while it is about the same ones."""
    more = f" And {len(told) - _NAMED} more." if len(told) > _NAMED else ""
    sentences = " ".join(str(one["sentence"]) for one in told[:_NAMED])
    which = sha256("\n".join(str(one["table"]) for one in told).encode()).hexdigest()[:16]
    fix = (
        "On purpose? Then acknowledge this, or name the table in drill.may_shrink. Else the dumps before hold the rows"
        f" (`pitstop list {cluster}`): restore the table out of one of them into a new schema."
    )
    return Concern("row-counts", cluster, "dump", Severity.WARN, f"In the last dump {sentences}{more}", fix, which)
