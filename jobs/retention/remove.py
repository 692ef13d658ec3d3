"""Carry a decision out: backups first, children before parents, then the WAL that served only them, oldest first.

Ended anywhere, what is listed is whole and has its WAL; the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot import desk
from bot.errors import Unavailable
from bot.ledger import catalogue
from bot.model.ids import BackupId
from bot.model.keeping import Keeping
from bot.model.locks import Locked
from bot.model.retained_wal import Segment
from bot.model.retention import Decision, Verdict, decide
from bot.repository.cluster import ClusterRepository
from bot.repository.expiring import Leftover, expire_backup, leftovers, note_orphan, remove_leftover
from jobs.context import JobContext
from jobs.live import being_written
from jobs.retention.release import Aged, let_age
from jobs.retention.stock import read_needs, read_stock

UNFINISHED_AFTER = timedelta(hours=6)
_WAL_AT_ONCE = 64


@dataclass
class Done:
    """What a run did to one history: ids with reasons, segments, bytes freed."""

    removed: list[Verdict] = field(default_factory=list)
    refused: dict[BackupId, str] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    leftovers: list[dict[str, object]] = field(default_factory=list)
    bytes_freed: int = 0
    problem: str = ""
    aged: Aged = field(default_factory=Aged)


def carry_out(
    context: JobContext,
    repository: ClusterRepository,
    decision: Decision,
    keeping: Keeping,
    newest: Mapping[str, datetime],
) -> Done:
    """Remove what goes. What a store does not let go of is `refused`; a store that is away is the `problem`."""
    done = Done()
    for verdict in decision.going:
        context.check_cancelled()
        _remove_backup(context, repository, verdict, done)
    try:
        left = _remove_wal(context, repository, keeping, newest, done)
        done.aged = let_age(context, repository, left, keeping)
    except Unavailable as error:
        done.problem = error.message
    return done


def _remove_backup(context: JobContext, repository: ClusterRepository, verdict: Verdict, done: Done) -> None:
    backup = verdict.backup
    if backup.id in _parents_of_refused(repository, done):
        done.refused[backup.id] = "a backup that is built on it could not be removed"
        return
    try:
        lock = desk.claim_deletion(context.ledger, context.run.id, backup.id, reason=verdict.reason, at=context.now())
    except Locked as error:
        done.refused[backup.id] = error.message
        return
    try:
        context.note(f"Removing {backup.id} from {repository.repository.name}.")
        done.bytes_freed += expire_backup(repository, backup.id, reason=verdict.reason, at=context.now())
        done.removed.append(verdict)
    except Unavailable as error:
        done.refused[backup.id] = error.message
    finally:
        desk.release(context.ledger, context.run.id, lock)


def _parents_of_refused(repository: ClusterRepository, done: Done) -> set[BackupId]:
    if not done.refused:
        return set()
    return {backup.parent for backup in repository.backups() if backup.id in done.refused and backup.parent}


def _remove_wal(
    context: JobContext, repository: ClusterRepository, keeping: Keeping, newest: Mapping[str, datetime], done: Done
) -> Decision:
    """Decide anew from what is left, as some backups may not have gone, and remove WAL until somebody comes who may need it."""
    needs = read_needs(context.ledger, context.run.cluster)
    stock, inventory = read_stock(repository, needs, newest)
    decision = decide(stock, keeping, context.now())
    segments = decision.wal
    context.progress(0, sum(inventory.sizes.get((s.timeline, s.number), 0) for s in segments) or None)
    freed = 0
    for at in range(0, len(segments), _WAL_AT_ONCE):
        context.check_cancelled()
        now = read_needs(context.ledger, context.run.cluster)
        if (now.leases, now.readers, now.plan) != (needs.leases, needs.readers, needs.plan):
            context.note("Somebody asked for a recovery meanwhile: the rest of the WAL goes next time.")
            break
        for segment in segments[at : at + _WAL_AT_ONCE]:
            repository.wal.remove_segment(segment.timeline, segment.number)
            freed += inventory.sizes.get((segment.timeline, segment.number), 0)
            done.segments.append(segment)
        context.progress(freed)
    done.bytes_freed += freed
    return decision


def clear_leftovers(context: JobContext, repository: ClusterRepository, after: timedelta, done: Done) -> None:
    """Finish what an earlier run began, clear away what was never finished, and keep orphans for `after` once they were noted."""
    now, cluster = context.now(), context.run.cluster
    live = being_written(context.ledger, cluster)
    with context.ledger.read() as tx:
        known = {summary.id for summary in catalogue.list(tx, cluster)}
    try:
        for found in leftovers(repository, known=known - live):
            context.check_cancelled()
            done.leftovers.append(_leftover(context, repository, found, after, done))
        for backup in repository.delete_unfinished(now - UNFINISHED_AFTER, live=live | known):
            done.leftovers.append({"id": backup, "state": "removed", "reason": "it was never finished"})
    except Unavailable as error:
        done.problem = done.problem or error.message


def _leftover(
    context: JobContext, repository: ClusterRepository, found: Leftover, after: timedelta, done: Done
) -> dict[str, object]:
    now = context.now()
    told: dict[str, object] = {"id": found.backup, "bytes_stored": found.bytes_stored}
    if not found.expired and found.since is None:
        note_orphan(repository, found.backup, now)
    if not found.expired and now - (found.since or now) < after:
        until = (found.since or now) + after
        why = "its manifest is gone, and Pitstop did not remove it: was it deleted by hand, or by a lifecycle rule?"
        return {**told, "state": "kept", "until": until.isoformat(), "reason": why}
    done.bytes_freed += remove_leftover(repository, found.backup)
    why = "its removal was cut short" if found.expired else "its manifest has been gone for long"
    return {**told, "state": "removed", "reason": why}
