"""Find the record of a transaction's end or of a restore point."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from bot.errors import Usage
from bot.model.wal import Lsn, segment_number, segment_start
from bot.postgres.ground import Ground, Zone
from bot.postgres.wal_records import DatabaseDrop, RestorePoint, TransactionEnd

_DATABASES = "rel 1664/0/1262 "
_OFFSET = re.compile(r"\boff:? (\d+)")


@dataclass(frozen=True, slots=True)
class Found:
    """Where to stop: before the first record that starts at or after `lsn`; `to_end` says that all there is is wanted.

    `what` names it in a refusal; `notes` are for people to read.
    """

    lsn: Lsn
    to_end: bool = False
    what: str = ""
    notes: tuple[str, ...] = ()


def find_xid(ground: Ground, xid: int, *, before: bool) -> Found:
    """Return the end of transaction `xid`, newest WAL first; a subtransaction stands for the one it belongs to.

    Raises:
        Usage: `unknown-xid`.
        Unreachable: `before-first-backup`.
    """
    for zone in ground.zones():
        dropping = False
        for event in ground.wal.events(zone.start, zone.end):
            if isinstance(event, DatabaseDrop):
                dropping = dropping or event.xid == xid
            elif isinstance(event, TransactionEnd) and (event.commit.xid == xid or xid in event.subxacts):
                _refuse_unowned(ground, zone, f"Transaction {xid}, which ended {event.commit.at.isoformat()},")
                return _transaction(ground, zone, event, xid, before=before, dropping=dropping)
    raise Usage(
        f"No transaction {xid} ended in the WAL kept here ({_extent(ground)}).",
        hint="Is it still running, read-only, or older than the WAL? `SELECT pg_current_xact_id()` shows today's numbers.",
        code="unknown-xid",
    )


def find_point(ground: Ground, name: str, *, before: bool) -> Found:
    """Return the restore point `name`; of several in the newest WAL that has one, the last, and say so.

    Raises:
        Usage: `unknown-point`.
        Unreachable: `before-first-backup`.
    """
    seen: deque[str] = deque(maxlen=1000)
    for zone in ground.zones():
        points = [e for e in _points(ground, zone, seen) if e.name == name]
        if points:
            _refuse_unowned(ground, zone, f"Restore point “{name}”")
            return _point(points, before=before)
    near = get_close_matches(name, set(seen), n=3, cutoff=0.5)
    raise Usage(
        f"There is no restore point “{name}” in the WAL kept here ({_extent(ground)}).",
        hint=f"Did you mean {' or '.join(map(repr, near))}?" if near else "Make one with `pitstop mark CLUSTER NAME`.",
        code="unknown-point",
    )


def _points(ground: Ground, zone: Zone, seen: deque[str]) -> Iterator[RestorePoint]:
    for event in ground.wal.events(zone.start, zone.end):
        if isinstance(event, RestorePoint):
            seen.append(event.name)
            yield event


def _point(points: list[RestorePoint], *, before: bool) -> Found:
    last = points[-1]
    end = "start" if before else "end"
    places = ", ".join(f"lsn:{p.lsn if before else p.end}" for p in points[:-1])
    notes = (
        (f"{len(points)} restore points are named “{last.name}”; this is the last one (the others {end} at {places}).",)
        if len(points) > 1
        else ()
    )
    return Found(last.lsn if before else last.end, what=f"Restore point “{last.name}”", notes=notes)


def _transaction(ground: Ground, zone: Zone, end: TransactionEnd, xid: int, *, before: bool, dropping: bool) -> Found:
    commit = end.commit
    notes = []
    if commit.xid != xid:
        notes.append(f"{xid} is a subtransaction of {commit.xid}, which decides.")
    if commit.aborted:
        notes.append(
            f"Transaction {commit.xid} was rolled back {commit.at.isoformat()}: nothing of it was ever visible."
        )
    lsn = commit.lsn if before else commit.end
    if before and dropping and not commit.aborted:
        lsn = _before_drop_database(ground, zone, end)
        lost = sum(not c.aborted for c in ground.ends(lsn, commit.lsn))
        notes.append(
            f"Transaction {commit.xid} dropped a database: replay stops where that began, {lsn}, or it would be there but broken"
            + (f"; {lost} transactions committed meanwhile are left out." if lost else ".")
        )
    return Found(lsn, what=f"Transaction {commit.xid}", notes=tuple(notes))


def _before_drop_database(ground: Ground, zone: Zone, end: TransactionEnd) -> Lsn:
    """Return where DROP DATABASE marked the database invalid: an in-place update of its row, before the row's deletion."""
    size = ground.wal.segment_bytes
    start = max(zone.start, segment_start(max(segment_number(end.lsn, size) - 4, 0), size))
    marks: dict[str, Lsn] = {}
    for record in ground.wal.records(start, end.lsn, rmgrs=("Heap",)):
        row = _OFFSET.search(record.desc) if _DATABASES in record.desc else None
        if row and record.desc.startswith("INPLACE"):
            marks[row[1]] = record.lsn
        elif row and record.desc.startswith("DELETE") and record.xid == end.commit.xid and row[1] in marks:
            return marks[row[1]]
    return end.lsn


def _refuse_unowned(ground: Ground, zone: Zone, what: str) -> None:
    """Refuse what lies in WAL that no backup leads to: before the first backup's end, or after a hole."""
    if zone.backup is not None:
        return
    older = [b for b in ground.backups if b.end_lsn <= zone.start]
    if not older:
        raise ground.before_first(what.rstrip(","))


def _extent(ground: Ground) -> str:
    return ", ".join(f"{s.start} to {s.end}" for s in ground.wal.stretches)
