"""Resolve a target to the first record that is not replayed, and choose the backup to start from.

PostgreSQL's own targets err silently (a time before the backup promotes to the backup's state; an LSN includes the record
that starts there; a subtransaction never matches), so none is passed through: the WAL is read first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.errors import Unreachable, Usage
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId
from bot.model.targets import Commit, ResolvedTarget, Target, TargetKind
from bot.model.timelines import Stretch
from bot.model.times import describe
from bot.model.wal import Lsn
from bot.postgres.ground import Ground, Wal
from bot.postgres.resolve_named import Found, find_point, find_xid
from bot.postgres.resolve_time import find_time

_FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where replay stops and the backup it starts from; `notes` are sentences that requester and approver should read."""

    target: ResolvedTarget
    backup: BackupSummary
    notes: tuple[str, ...] = ()


def resolve(
    target: Target,
    *,
    candidates: Iterable[BackupSummary],
    wal: Wal,
    now: datetime,
    complete_until: datetime | None = None,
) -> Resolution:
    """Resolve `target` along `wal`'s line of descent. Slow: reads the WAL it has to.

    A time means: stop at the first commit or abort in WAL order that is later. `complete_until` says up to when all that the
    server wrote is known to be here; a time after the last commit and not after it means everything.

    Raises:
        Unreachable: `no-backup`, `future`, `before-first-backup`, `in-a-hole`, `not-durable-yet`; with the nearest times.
        Usage: `unknown-xid`, `unknown-point`, `unknown-backup`, `bad-target`.
        Corruption: the WAL that had to be read is damaged.
    """
    known = tuple(candidates)
    ground = Ground(known, wal, now=now, complete_until=complete_until)
    if not ground.backups:
        raise ground.no_backup()
    if target.kind is TargetKind.IMMEDIATE and not target.before:
        return _settle(ground, Found(_end_of(ground, known, target.backup)))
    return _settle(ground, _find(ground, target))


def _end_of(ground: Ground, known: tuple[BackupSummary, ...], wanted: BackupId | None) -> Lsn:
    """Return where a base backup ends: the newest, or the one named, which has to be sound and have its WAL."""
    if wanted is None:
        return ground.backups[-1].end_lsn
    able = {backup.id: backup.end_lsn for backup in ground.backups}
    if wanted in able:
        return able[wanted]
    named = next((backup for backup in known if backup.id == wanted), None)
    near = [*sorted(name for name in able if name < wanted)[-1:], *sorted(name for name in able if name > wanted)[:1]]
    hint = f"Did you mean {' or '.join(f'`immediate:{name}`' for name in near)}?"
    if named is None:
        raise Usage(f"There is no base backup {wanted} here.", hint=hint, code="unknown-backup")
    why = f"it is damaged ({named.damaged})" if named.damaged else "WAL that it needs itself is missing"
    raise Unreachable(f"The base backup {wanted} cannot be restored: {why}.", hint=hint, code="in-a-hole")


def _find(ground: Ground, target: Target) -> Found:
    if target.kind is TargetKind.TIME and target.at is not None:
        return find_time(ground, target.at, before=target.before)
    if target.kind is TargetKind.XID and target.xid is not None:
        return find_xid(ground, target.xid, before=target.before)
    if target.kind is TargetKind.POINT and target.point is not None:
        return find_point(ground, target.point, before=target.before)
    if target.kind is TargetKind.LSN and target.lsn is not None:
        return _at_lsn(ground, target.lsn)
    if target.before:
        raise Usage(
            f"before:{target.kind} names nothing.", hint="Write before: with a time, xid or point.", code="bad-target"
        )
    return _latest(ground)


def _latest(ground: Ground) -> Found:
    stretch = ground.wal.stretches[-1]
    last = ground.backups[-1]
    if ground.stretch_of(last) != stretch:
        reached = max((s for s in map(ground.stretch_of, ground.backups) if s), key=lambda s: s.end)
        raise Unreachable(
            "The newest WAL cannot be reached: WAL before it is missing, and no base backup was taken since.",
            hint="Take a base backup now: `pitstop backup base CLUSTER`. Or recover to the time before the hole?",
            code="in-a-hole",
            nearest=ground.nearest(ground.reached(reached)),
        )
    return Found(stretch.end, to_end=True, notes=_what_may_lack(ground, stretch))


def _what_may_lack(ground: Ground, stretch: Stretch) -> tuple[str, ...]:
    """Say how new `latest` is where the server's newest WAL has not arrived, or where nobody could ask the server."""
    if ground.complete_until is not None and ground.now - ground.complete_until < _FRESH:
        return ()
    until = ground.complete_until or ground.reached(stretch)
    last = f"what is here reaches to {describe(until, UTC)}" if until else "what is here ends with its last commit"
    return (
        f"The server's newest WAL has not arrived, or the server was not reached: {last}, and later commits are not in it.",
    )


def _at_lsn(ground: Ground, lsn: Lsn) -> Found:
    end = ground.wal.stretches[-1].end
    if lsn > end:
        raise Unreachable(
            f"{lsn} is ahead of the WAL kept here, which ends at {end}.",
            hint="Did you mean `latest`?",
            code="future",
            nearest=ground.nearest(ground.reached(ground.wal.stretches[-1])),
        )
    if ground.choose(lsn) is None:
        raise lsn_unreachable(ground, lsn, str(lsn))
    return Found(lsn)


def lsn_unreachable(ground: Ground, lsn: Lsn, what: str) -> Unreachable:
    """Say why no backup leads to `lsn`: it is before the first one, or in a hole; name the times on both sides."""
    older = [b for b in ground.backups if b.end_lsn <= lsn]
    if not older:
        return ground.before_first(what)
    stretch = ground.stretch_of(older[-1])
    newer = [b.finished_at for b in ground.backups if b.end_lsn > lsn]
    return Unreachable(
        f"{what} lies in a hole: WAL between the backup before it and there is missing.",
        hint="Ask again, with one of the nearest times?",
        code="in-a-hole",
        nearest=ground.nearest(ground.reached(stretch) if stretch else None, min(newer, default=None)),
    )


def _settle(ground: Ground, found: Found) -> Resolution:
    """Turn a position into the start of a record (or the end of all records), with its neighbours and backup."""
    stretch = ground.stretch_at(found.lsn)
    if stretch is None or ground.choose(found.lsn) is None:
        raise lsn_unreachable(ground, found.lsn, found.what or str(found.lsn))
    placed = None if found.to_end else ground.wal.record_from(found.lsn, stretch.end)
    lsn = placed.lsn if placed else _end_of_records(ground, stretch, found)
    backup = ground.choose(lsn)
    assert backup is not None
    resolved = ResolvedTarget(
        timeline=ground.wal.line.timeline_at(lsn if placed else Lsn(lsn - 1)),
        lsn=lsn,
        record_exists=placed is not None,
        last_commit=_last_commit(ground, backup, lsn),
        next_end=ground.next_end(stretch, lsn) if placed else None,
    )
    return Resolution(resolved, backup, found.notes)


def _end_of_records(ground: Ground, stretch: Stretch, found: Found) -> Lsn:
    backup = ground.choose(found.lsn)
    assert backup is not None
    return ground.wal.end_of_records(backup.end_lsn, stretch.end)


def _last_commit(ground: Ground, backup: BackupSummary, lsn: Lsn) -> Commit | None:
    return ground.last_commit(backup.start_lsn, lsn)
