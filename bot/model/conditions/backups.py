"""Backups: old, damaged, of a strange size; and scheduled jobs that did not run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from bot.model.alerts import Concern, Severity
from bot.model.amounts import size, span
from bot.model.backups import BackupSummary
from bot.model.standing import ago

COMPARED = 7
"""With how many backups before it a backup's size is compared, and at least `COMPARED_AT_LEAST`."""
COMPARED_AT_LEAST = 3
FLOORS = {"base": 16 << 20, "dump": 1 << 10}
"""What no backup of a kind is smaller than before compression, in bytes: an empty cluster is 20 MB and more."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One scheduled kind of backup of a cluster: `job` is what makes it, `counted_since` since when it is scheduled.

    `every` is the longest time between two of its slots, `running` whether one is being made now.
    """

    cluster: str
    kind: str
    job: str
    counted_since: datetime
    every: timedelta
    running: bool


def backup_age(kind: Kind, backups: Sequence[BackupSummary], *, most: timedelta, now: datetime) -> list[Concern]:
    """Say when the newest sound backup of a kind is older than it may be, by when it was begun.

    It may be `most`, or the time between two slots where that is longer; while the next one is being made, half as much again.
    """
    sound = [backup for backup in backups if _counts(backup, kind.kind) and not backup.damaged]
    newest = max((backup.started_at for backup in sound), default=None)
    limit = max(most, kind.every)
    age = now - (newest or kind.counted_since)
    if age <= (limit * 1.5 if kind.running else limit):
        return []
    what = f"The last sound {kind.kind} backup of {kind.cluster} was begun {ago(newest, now)}" if newest else None
    sentence = what or f"There is no sound {kind.kind} backup of {kind.cluster} yet"
    return [
        Concern(
            "backup-age",
            kind.cluster,
            kind.kind,
            Severity.PAGE if age > limit * 2 else Severity.WARN,
            f"{sentence}; it may be {span(limit)} old.",
            f"Why does it not run? `pitstop status {kind.cluster}`, then `pitstop backup {kind.kind} {kind.cluster}`.",
        )
    ]


def backup_damaged(cluster: str, kind: str, backups: Sequence[BackupSummary]) -> list[Concern]:
    """Say that the newest backup of a kind is damaged; a sound one after it ends that."""
    newest = max((b for b in backups if _counts(b, kind)), key=lambda b: b.started_at, default=None)
    if newest is None or not newest.damaged:
        return []
    sentence = f"{newest.id} is damaged: {newest.damaged}. The last sound backup is kept."
    fix = f"Look at the server's disk and log, then: pitstop backup {kind} {cluster}"
    return [Concern("backup-damaged", cluster, kind, Severity.PAGE, sentence, fix)]


def backup_size(
    cluster: str, kind: str, backups: Sequence[BackupSummary], *, change: float, floor_bytes: int | None
) -> list[Concern]:
    """Say that the newest backup of a kind is far smaller or larger than those before it, or below the floor.

    `change` is the share by which it may differ from the median of up to seven before it, of at least three (0.5: half to
    double). `floor_bytes` counts what is stored; without one, a floor that even an empty database does not fall below.
    """
    found = sorted((b for b in backups if _counts(b, kind)), key=lambda b: b.started_at)
    if not found:
        return []
    newest, before = found[-1], [b for b in found[:-1] if not b.damaged][-COMPARED:]
    low = floor_bytes if floor_bytes is not None else FLOORS.get(kind, 0)
    stored = newest.bytes_stored if floor_bytes is not None else newest.bytes_read
    if stored < low:
        sentence = f"{newest.id} has only {size(stored)}; a backup of {cluster} has at least {size(low)}."
        return [_strange(cluster, kind, Severity.PAGE, sentence, newest)]
    if len(before) < COMPARED_AT_LEAST:
        return []
    usual = median(b.bytes_read for b in before)
    if usual * (1 - change) <= newest.bytes_read <= usual / (1 - change):
        return []
    word = "smaller" if newest.bytes_read < usual else "larger"
    sentence = (
        f"{newest.id} is {word} than usual: {size(newest.bytes_read)} were read, the median of the {len(before)} before it is "
        f"{size(usual)}."
    )
    return [_strange(cluster, kind, Severity.WARN, sentence, newest)]


def _strange(cluster: str, kind: str, severity: Severity, sentence: str, newest: BackupSummary) -> Concern:
    fix = "Was data removed or added on purpose? Then acknowledge this; else look at the database before old backups expire."
    return Concern("backup-size", cluster, kind, severity, sentence, fix, occurrence=newest.id)


def _counts(backup: BackupSummary, kind: str) -> bool:
    """Say whether a backup stands for its kind. An incremental one is no base backup, a dump of a part no dump of everything."""
    return backup.kind == kind and not backup.partial


@dataclass(frozen=True, slots=True)
class Missed:
    """A scheduled occurrence that was due at `due_at` and did not begin: `state` is what became of it, if anything."""

    cluster: str
    job: str
    due_at: datetime
    waits: bool = False


def schedule_missed(missed: Iterable[Missed], *, after: timedelta, now: datetime) -> list[Concern]:
    """Say which scheduled jobs did not begin within `after` of their time."""
    found = []
    for one in missed:
        if now - one.due_at <= after:
            continue
        why = "it is queued and has not begun" if one.waits else "it was not even queued"
        sentence = f"The {one.job} of {one.cluster} was due {ago(one.due_at, now)}, and {why}."
        fix = "Is another run in its way, or was the bot down? `pitstop status` shows what runs."
        found.append(Concern("schedule-missed", one.cluster, one.job, Severity.WARN, sentence, fix))
    return found
