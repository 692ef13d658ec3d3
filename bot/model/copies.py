"""Copies: what several repositories hold of one cluster's backups, as one list, and how far each lags behind the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.model.alerts import Concern, Severity
from bot.model.amounts import size, span
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId
from bot.model.keeping import Keeping


def merged(copies: Sequence[BackupSummary]) -> BackupSummary:
    """Return what is known of one backup whose `copies` lie in several repositories, the nearest first.

    It is damaged only where no copy is sound; verified since the last time that any sound copy was; pinned where any is.
    """
    sound = [copy for copy in copies if copy.damaged is None]
    verified = max((copy.verified_at for copy in sound or copies if copy.verified_at), default=None)
    return replace((sound or list(copies))[0], verified_at=verified, pinned=any(copy.pinned for copy in copies))


def where(copies: Mapping[str, BackupSummary]) -> list[str]:
    """Return the names of the repositories that hold a backup; a damaged copy is marked where another one is sound."""
    sound = any(copy.damaged is None for copy in copies.values())
    return [f"{name} (damaged)" if sound and copy.damaged else name for name, copy in copies.items()]


@dataclass(frozen=True, slots=True)
class Lag:
    """What one repository lacks that another one holds: how many backups, their stored bytes, and since when (aware UTC).

    `since` is when the oldest of them was finished; None where nothing is lacking.
    """

    repository: str
    backups: tuple[BackupId, ...] = ()
    bytes_stored: int = 0
    since: datetime | None = None

    def age(self, now: datetime) -> timedelta:
        """Return how long it has been behind; nothing where it is not."""
        return max(timedelta(), now - self.since) if self.since else timedelta()


def lags(held: Mapping[str, Sequence[BackupSummary]], keeping: Keeping, now: datetime) -> list[Lag]:
    """Return how far each repository is behind, given the backups that each one `held`, by its name.

    Counted is what is sound somewhere, and pinned or younger than its kind is kept: anything older may have been removed by
    retention, and is not missed. `now` is aware UTC.
    """
    sound: dict[BackupId, BackupSummary] = {}
    for backup in (backup for backups in held.values() for backup in backups if backup.damaged is None):
        if backup.pinned or now - backup.finished_at <= keeping.age(backup.kind):
            sound.setdefault(backup.id, backup)
    return [_lag(name, backups, sound.values()) for name, backups in held.items()]


def _lag(name: str, backups: Iterable[BackupSummary], sound: Iterable[BackupSummary]) -> Lag:
    here = {backup.id for backup in backups}
    lacking = sorted((backup for backup in sound if backup.id not in here), key=lambda backup: backup.id)
    since = min((backup.finished_at for backup in lacking), default=None)
    return Lag(name, tuple(b.id for b in lacking), sum(b.bytes_stored for b in lacking), since)


def copy_late(
    cluster: str, found: Iterable[Lag], *, target: timedelta, maximum: timedelta, counted_since: datetime, now: datetime
) -> list[Concern]:
    """Say which repositories have been behind for longer than `target` (a warning) or `maximum` (a page).

    Nothing counts from before `counted_since`: a second repository that was only just named has all its copying before it.
    """
    concerns = []
    for lag in found:
        if lag.since is None:
            continue
        age = now - max(lag.since, counted_since)
        if age <= target:
            continue
        late = maximum if age > maximum else target
        many = f"{len(lag.backups)} backup{'s' * (len(lag.backups) != 1)}"
        sentence = (
            f"{lag.repository} lacks {many} of {cluster} ({size(lag.bytes_stored)}) that another repository has had for "
            f"{span(age)}: longer than the {'maximum' if age > maximum else 'target'} of {span(late)}."
        )
        fix = f"Can the repository be reached, and does copying keep up? `pitstop sync {cluster}`"
        severity = Severity.PAGE if age > maximum else Severity.WARN
        concerns.append(Concern("copy-late", cluster, lag.repository, severity, sentence, fix))
    return concerns
