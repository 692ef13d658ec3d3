"""What a sync answers: what came to each repository, what is still lacking there, and what stood in the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.model.copies import Lag
from bot.model.ids import ClusterName
from bot.model.sync import Lacking
from jobs.copies import lag_row
from jobs.sync.copying import Brought
from jobs.sync.look import Due

_MAX_LISTED = 200


def report(
    cluster: ClusterName,
    brought: Sequence[Brought],
    would: Mapping[str, Sequence[Due]],
    lags: Sequence[Lag],
    problems: Mapping[str, str],
    *,
    dry_run: bool,
    seconds: float,
    now: datetime,
) -> dict[str, Any]:
    """Return the whole answer; see `jobs.sync.run`. `would` is what each repository lacked at the beginning.

    `problems` say why some could not be looked at: what those lack is not known, and how far they are behind as last seen.
    """
    told = [*(f"{name}: {text}" for name, text in problems.items())]
    told += [f"{one.repository}: {one.problem}" for one in brought if one.problem]
    damaged = [damage for one in brought for damage in one.damaged]
    away = [Brought(name, problem=text) for name, text in problems.items()]
    unique = list({(one["repository"], one["path"]): one for one in damaged}.values())
    return {
        "cluster": cluster,
        "dry_run": dry_run,
        "ok": not unique and not told,
        "news": bool(unique),
        "objects": sum(one.objects for one in brought),
        "bytes": sum(one.size for one in brought),
        "repositories": [
            {**_repository(one, would.get(one.repository, ()), lags, now), "away": one.repository in problems}
            for one in (*brought, *away)
        ],
        "damaged": unique,
        "problems": told,
        "seconds": round(seconds, 3),
    }


def _repository(one: Brought, would: Sequence[Due], lags: Sequence[Lag], now: datetime) -> dict[str, Any]:
    lag = next((lag for lag in lags if lag.repository == one.repository), Lag(one.repository))
    return {
        "repository": one.repository,
        "lacked": [
            {"id": backup.id, "kind": backup.kind, "bytes_stored": backup.bytes_stored}
            for due in would
            for backup in due.lacking.backups
        ],
        "lacked_segments": sum(len(due.lacking.segments) for due in would),
        "lacked_segment_bytes": sum(due.segment_bytes for due in would),
        "lacked_besides": sum(_besides(due.lacking) for due in would),
        "copied": one.copied,
        "segments": one.segments,
        "events": one.events,
        "keys": one.keys,
        "objects": one.objects,
        "bytes": one.size,
        "left": [{"id": backup, "reason": why} for backup, why in sorted(one.left.items(), reverse=True)][:_MAX_LISTED],
        "behind": lag_row(lag, now),
        "problem": one.problem,
    }


def _besides(lacking: Lacking) -> int:
    """Return how many small things lack beside backups and whole segments: timelines, pins, pieces of a begun segment."""
    return len(lacking.begun) + len(lacking.histories) + len(lacking.events)
