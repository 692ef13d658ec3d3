"""What retention removes and what it keeps, each with its reason. Pure: the same stock at the same time decides the same.

Ages are counted to the newest sound backup rather than to the clock alone: where backups stopped coming, none goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.model.amounts import span
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId
from bot.model.keeping import Keeping
from bot.model.retained_wal import (
    Need,
    Segment,
    StoredWal,
    WalLease,
    anchor,
    living_lines,
    needs,
    removable,
    unknown_timelines,
)
from bot.model.timelines import lineage
from bot.model.window import KnownTime, TimeRange, live_timeline, recovery_window

KINDS = {"base": "base backup", "incr": "incremental backup", "dump": "dump"}
_SLACK = timedelta(days=2)
_CLOCKS_DIFFER = timedelta(minutes=10)
_FEW = 3


@dataclass(frozen=True, slots=True)
class Stock:
    """What one repository holds of one system identifier, and who needs what of it.

    `newest` is when the newest sound backup of each kind was finished, of whichever system identifier of the cluster.
    `held` says who reads a backup now, `leased` which backups a request leased, `live` which timeline is streamed.
    `times` are known times for the recovery window. All times are aware UTC.
    """

    backups: tuple[BackupSummary, ...]
    wal: StoredWal
    newest: Mapping[str, datetime] = field(default_factory=dict)
    held: Mapping[BackupId, str] = field(default_factory=dict)
    leased: Mapping[BackupId, str] = field(default_factory=dict)
    wal_leases: tuple[WalLease, ...] = ()
    live: int | None = None
    times: tuple[KnownTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One backup goes or stays, and why: a clause. `aging`: it stays for its age alone, and has left the recovery window."""

    backup: BackupSummary
    goes: bool
    reason: str
    aging: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes and what stays. `wal` goes oldest first; `needed` says what the rest of the WAL is for.

    `before` and `after` are the recovery windows. `too_many` is a sentence when that is more than may go unasked, else empty.
    """

    verdicts: tuple[Verdict, ...]
    wal: tuple[Segment, ...]
    needed: tuple[Need, ...]
    before: tuple[TimeRange, ...]
    after: tuple[TimeRange, ...]
    too_many: str = ""

    @property
    def going(self) -> tuple[Verdict, ...]:
        """The backups that go, children before their parents: the newest first."""
        return tuple(sorted((v for v in self.verdicts if v.goes), key=lambda v: v.backup.id, reverse=True))


def decide(stock: Stock, keeping: Keeping, now: datetime) -> Decision:
    """Decide about everything in `stock`. `now` is aware UTC; a clock that is wrong removes nothing surprising.

    A backup stays while it is younger than its kind is kept, and beyond that where a rule of `_reasons` or `_guarded` holds it.
    WAL stays where `bot.model.retained_wal.needs` finds a need for it.
    """
    ages = _Ages(stock, keeping, now)
    verdicts = _verdicts(stock, keeping, ages)
    kept = [verdict.backup for verdict in verdicts if not verdict.goes]
    needed = needs(stock.wal, kept, live=_live(stock), before=ages.wal_from, leases=stock.wal_leases)
    gone = removable(stock.wal, needed)
    left = stock.wal.without(gone)
    return Decision(
        verdicts,
        gone,
        tuple(needed),
        tuple(_window(stock, stock.backups, stock.wal)),
        tuple(_window(stock, kept, left)),
        _too_many(verdicts, keeping),
    )


class _Ages:
    """How old things are: counted to now, but no more than two days past the newest sound backup of the kind.

    Backups that were taken after `now`, by a clock that was set back since, do not count.
    """

    def __init__(self, stock: Stock, keeping: Keeping, now: datetime) -> None:
        self._stock = stock
        self._now = now
        physical = self._counted_to("base", "incr")
        self._today = {"base": physical, "incr": physical, "dump": self._counted_to("dump")}
        self.wal_from = physical - keeping.wal

    def of(self, backup: BackupSummary) -> timedelta:
        """Return a backup's age."""
        return self._today[backup.kind] - backup.finished_at

    def before(self, backup: BackupSummary, keeping: Keeping) -> datetime:
        """Return what a backup was finished before when it is older than the WAL that is kept."""
        return self._today[backup.kind] - keeping.wal

    def in_the_future(self, backup: BackupSummary) -> bool:
        """Say whether a backup claims to have been taken later than now."""
        return max(backup.started_at, backup.finished_at) > self._now + _CLOCKS_DIFFER

    def _counted_to(self, *kinds: str) -> datetime:
        here = [b for b in self._stock.backups if b.kind in kinds and not self.in_the_future(b)]
        here = [backup for backup in here if not backup.partial] or here
        sound = [backup.finished_at for backup in here if backup.damaged is None]
        sound += [at for kind, at in self._stock.newest.items() if kind in kinds and at <= self._now + _CLOCKS_DIFFER]
        if sound:
            return min(self._now, max(sound) + _SLACK)
        return min([self._now, *(backup.finished_at for backup in here)])


def _verdicts(stock: Stock, keeping: Keeping, ages: _Ages) -> tuple[Verdict, ...]:
    reasons = _reasons(stock, keeping, ages)
    _keep_parents(stock.backups, reasons)
    found = [_verdict(backup, reasons, keeping, ages) for backup in sorted(stock.backups, key=lambda b: b.id)]
    aging = _aging(stock, keeping, ages, [verdict.backup for verdict in found if not verdict.goes])
    return tuple(replace(verdict, aging=verdict.backup.id in aging) for verdict in found)


def _aging(stock: Stock, keeping: Keeping, ages: _Ages, kept: Sequence[BackupSummary]) -> set[BackupId]:
    """Return what of `kept` only its age keeps, and no recovery window that reaches back as far as WAL is kept needs."""
    needed = {backup.id for backup, _ in _guarded(stock, keeping, ages)}
    needed |= {backup.parent for backup in kept if backup.parent is not None}
    needed |= {*stock.held, *stock.leased, *(backup.id for backup in kept if backup.pinned or backup.parent)}
    unknown = unknown_timelines(stock.wal, stock.backups)
    return {
        backup.id
        for backup in kept
        if backup.id not in needed
        and backup.timeline not in unknown
        and not ages.in_the_future(backup)
        and min(stock.leased, default=backup.id) >= backup.id
        and backup.finished_at < ages.before(backup, keeping)
    }


def _verdict(backup: BackupSummary, reasons: Mapping[BackupId, str], keeping: Keeping, ages: _Ages) -> Verdict:
    reason = reasons.get(backup.id)
    if reason is not None:
        return Verdict(backup, goes=False, reason=reason)
    why = f"{_days(ages.of(backup))} old; {KINDS[backup.kind]}s are kept for {_days(keeping.age(backup.kind))}"
    return Verdict(backup, goes=True, reason=why)


def _reasons(stock: Stock, keeping: Keeping, ages: _Ages) -> dict[BackupId, str]:
    """Return why backups stay, by id; the first rule that holds one names the reason.

    1. people pinned it; 2. a run reads it, or a request leased it or an older one; 3. it comes from the future, or from a
    timeline of unknown origin; 4. it is young enough; 5. it is among the last of its kind; 6. a recovery window begins with it.
    """
    unknown = unknown_timelines(stock.wal, stock.backups)
    oldest_lease = min(stock.leased, default=None)
    reasons: dict[BackupId, str] = {}
    for backup in stock.backups:
        if backup.pinned:
            reasons[backup.id] = "it is pinned"
        elif backup.id in stock.held:
            reasons[backup.id] = f"{stock.held[backup.id]} needs it"
        elif backup.id in stock.leased:
            reasons[backup.id] = f"{stock.leased[backup.id]} needs it"
        elif oldest_lease is not None and backup.id > oldest_lease:
            reasons[backup.id] = f"it is newer than {oldest_lease}, which {stock.leased[oldest_lease]} needs"
        elif ages.in_the_future(backup):
            reasons[backup.id] = "it was taken later than now: was a clock set back?"
        elif backup.timeline in unknown:
            reasons[backup.id] = f"nobody knows where its timeline {backup.timeline} came from"
        elif (age := ages.of(backup)) <= keeping.age(backup.kind):
            reasons[backup.id] = f"{_days(age)} old, kept for {_days(keeping.age(backup.kind))}"
    for backup, why in _guarded(stock, keeping, ages):
        reasons.setdefault(backup.id, why)
    return reasons


def _guarded(stock: Stock, keeping: Keeping, ages: _Ages) -> Iterable[tuple[BackupSummary, str]]:
    """Yield what stays whatever its age: the last ones of each kind, and the backups that recovery windows begin with."""
    present = [backup for backup in stock.backups if not ages.in_the_future(backup)]
    line = lineage(_live(stock), stock.wal.histories)
    on_line = [b for b in present if line.holds(b.timeline, b.start_lsn, b.end_lsn)]
    for kind, word in KINDS.items():
        for pool in (present, on_line):
            yield from _last([b for b in pool if b.kind == kind and not b.partial], keeping.minimum(kind), word)
    yield from _last([b for b in present if b.partial], 1, "dump of a part")
    for living in living_lines(stock.wal, stock.backups, live=_live(stock), before=ages.wal_from):
        first = anchor(present, living, stock.wal.ranges, ages.wal_from)
        if first is not None:
            yield first, "the recovery window begins with it"


def _last(backups: Sequence[BackupSummary], minimum: int, word: str) -> Iterable[tuple[BackupSummary, str]]:
    newest_first = sorted(backups, key=lambda b: (b.finished_at, b.id), reverse=True)
    sound = [backup for backup in newest_first if backup.damaged is None]
    verified = [backup for backup in sound if backup.verified_at is not None]
    yield from ((b, f"it is the last sound {word}") for b in sound[:1])
    yield from ((b, f"it is the last verified {word}") for b in verified[:1])
    yield from ((b, f"it is among the last {minimum} sound {word}s") for b in sound[:minimum])
    yield from ((b, f"it is the last {word}") for b in newest_first[:1])


def _keep_parents(backups: Iterable[BackupSummary], reasons: dict[BackupId, str]) -> None:
    """Keep what kept backups are made of."""
    known = {backup.id: backup for backup in backups}
    waiting = [known[backup] for backup in reasons]
    while waiting:
        child = waiting.pop()
        if child.parent in known and child.parent not in reasons:
            reasons[child.parent] = f"{child.id} is built on it"
            waiting.append(known[child.parent])


def _too_many(verdicts: Sequence[Verdict], keeping: Keeping) -> str:
    going = sum(verdict.goes for verdict in verdicts)
    if going <= max(_FEW, len(verdicts) * keeping.most_at_once):
        return ""
    return f"{going} of {len(verdicts)} backups would go at once, more than {keeping.most_at_once:.0%}."


def _window(stock: Stock, backups: Sequence[BackupSummary], wal: StoredWal) -> list[TimeRange]:
    return recovery_window(backups, wal.ranges, wal.histories, stock.times, timeline=_live(stock))


def _live(stock: Stock) -> int:
    if stock.live is not None and stock.live in stock.wal.timelines:
        return stock.live
    return live_timeline(stock.backups, stock.wal.ranges, stock.wal.histories)


def _days(age: timedelta) -> str:
    days = age / timedelta(days=1)
    if days >= 2:
        return f"{days:.1f}".removesuffix(".0") + " days"
    return span(age)
