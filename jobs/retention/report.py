"""What went and why, as JSON: the run's result, what `--dry-run` prints, and what the card is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from bot.model.ids import ClusterName
from bot.model.retained_wal import Segment
from bot.model.retention import Decision, Verdict
from bot.model.wal import segment_name
from bot.repository.cluster import ClusterRepository
from jobs.retention.release import Aged
from jobs.retention.remove import Done

_MAX_LISTED = 1000


def report(repository: ClusterRepository, decision: Decision, done: Done | None) -> dict[str, Any]:
    """Return what became of one history; without `done`, what would.

    {"repository", "system_id", "removed": [{"id", "kind", "finished_at", "bytes_stored", "reason"}], "kept": [likewise],
    "refused": [{"id", "reason"}], "wal": {"segments", "ranges": [{"timeline", "first", "last"}]}, "leftovers", "bytes_freed",
    "aged": {"left": [id], "returned": [id], "problem"},
    "recovery_window": {"before", "after"}, "too_many", "problem"}
    """
    gone = decision.going if done is None else done.removed
    refused = {} if done is None else done.refused
    return {
        "repository": repository.repository.name,
        "system_id": repository.system_id,
        "removed": [_verdict(verdict) for verdict in sorted(gone, key=lambda v: v.backup.id)],
        "kept": [_verdict(v) for v in decision.verdicts if not v.goes][-_MAX_LISTED:],
        "refused": [{"id": backup, "reason": reason} for backup, reason in sorted(refused.items())],
        "wal": _wal(decision.wal if done is None else done.segments, repository.segment_bytes),
        "leftovers": [] if done is None else done.leftovers,
        "aged": _aged(done),
        "bytes_freed": sum(v.backup.bytes_stored for v in gone) if done is None else done.bytes_freed,
        "recovery_window": {
            "before": [part.as_json() for part in decision.before],
            "after": [part.as_json() for part in decision.after],
        },
        "too_many": decision.too_many,
        "problem": "" if done is None else done.problem,
    }


def summed_up(
    cluster: ClusterName, found: list[dict[str, Any]], problems: list[str], *, dry_run: bool, seconds: float
) -> dict[str, Any]:
    """Return the whole answer. `ok` says that nothing stood in the way, `news` that people should read it."""
    problems = [*problems, *(f"{one['repository']}: {one['problem']}" for one in found if one["problem"])]
    removed = [{**backup, "repository": one["repository"]} for one in found for backup in one["removed"]]
    strange = any(one["refused"] or one["leftovers"] for one in found)
    return {
        "cluster": cluster,
        "dry_run": dry_run,
        "ok": not problems and not any(one["refused"] for one in found),
        "news": bool(removed or problems or strange),
        "removed": removed,
        "bytes_freed": sum(one["bytes_freed"] for one in found),
        "seconds": round(seconds, 3),
        "repositories": found,
        "problems": problems,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    backup = verdict.backup
    return {
        "id": backup.id,
        "kind": backup.kind,
        "finished_at": backup.finished_at.isoformat(),
        "bytes_stored": backup.bytes_stored,
        "reason": verdict.reason,
    }


def _aged(done: Done | None) -> dict[str, Any]:
    aged = done.aged if done else Aged()
    return {"left": aged.left, "returned": aged.returned, "problem": aged.problem}


def _wal(segments: Sequence[Segment], segment_bytes: int) -> dict[str, Any]:
    ranges = [
        {
            "timeline": timeline,
            "first": segment_name(timeline, run[0], segment_bytes),
            "last": segment_name(timeline, run[-1], segment_bytes),
        }
        for timeline in sorted({segment.timeline for segment in segments})
        for run in _runs(sorted(s.number for s in segments if s.timeline == timeline))
    ]
    return {"segments": len(segments), "ranges": ranges[:_MAX_LISTED]}


def _runs(numbers: Iterable[int]) -> list[list[int]]:
    """Return ordered numbers as runs without a hole."""
    return [
        [number for _, number in group] for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    ]
