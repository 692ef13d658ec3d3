"""Retention never breaks a chain or a lease: random histories, held to what must stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, SystemId, stamp
from bot.model.keeping import Keeping
from bot.model.retained_wal import Segment, StoredWal, WalLease
from bot.model.retention import Decision, Stock, decide
from bot.model.timelines import lineage
from bot.model.wal import Fork, Lsn
from bot.model.window import KnownTime, TimeRange
from tests.sweeps import examples

START = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
DAY = 24
"""WAL grows by one byte an hour in these tests, so that positions are hours, and a segment holds half a day."""
SEGMENT = 12
KEEPING = Keeping(
    base=timedelta(days=30), incremental=timedelta(days=7), dump=timedelta(days=30), wal=timedelta(days=7)
)


def hour(n: float) -> datetime:
    """Return the time at which byte `n` of the WAL was written."""
    return START + timedelta(hours=n)


def backup(
    start: int,
    kind: str = "base",
    *,
    timeline: int = 1,
    length: int = 1,
    parent: BackupId | None = None,
    verified: bool = False,
    damaged: str | None = None,
    pinned: bool = False,
    partial: str = "",
) -> BackupSummary:
    """Return a backup that began at hour `start`; its WAL is `length` bytes from there."""
    return BackupSummary(
        id=BackupId(f"{stamp(hour(start))}-{kind}-{start % 65536:04x}"), kind=kind, cluster=ClusterName("slips"),
        system_id=SystemId("7"), started_at=hour(start), finished_at=hour(start + length), timeline=timeline,
        start_lsn=Lsn(start), end_lsn=Lsn(start + length), bytes_read=1, bytes_stored=1, server_version=160002,
        segment_bytes=SEGMENT, manifest_sha256="", parent=parent, damaged=damaged, pinned=pinned, partial=partial,
        verified_at=hour(start + 2) if verified else None,
    )  # fmt: skip


def wal(until: int, *, since: int = 0, holes: Iterable[int] = ()) -> StoredWal:
    """Return the WAL of timeline 1 from byte `since` to `until`, without the segments `holes`."""
    numbers = frozenset(range(since // SEGMENT, until // SEGMENT)) - set(holes)
    begun = {(1, until // SEGMENT): until % SEGMENT} if until % SEGMENT else {}
    return StoredWal(SEGMENT, {1: numbers}, begun, {1: hour(until)})


def at(*hours: int, timeline: int = 1) -> tuple[KnownTime, ...]:
    """Return known times."""
    return tuple(KnownTime(timeline, Lsn(n), hour(n)) for n in hours)


def gone(decision: Decision) -> list[BackupId]:
    """Return the ids of what goes, oldest first."""
    return sorted(verdict.backup.id for verdict in decision.going)


def reason(decision: Decision, wanted: BackupSummary) -> str:
    """Return why a backup goes or stays."""
    return next(v.reason for v in decision.verdicts if v.backup.id == wanted.id)


def applied(stock: Stock, decision: Decision) -> Stock:
    """Return what is left once a decision was carried out."""
    left = tuple(v.backup for v in decision.verdicts if not v.goes)
    return replace(stock, backups=left, wal=stock.wal.without(decision.wal))


def daily(days: int, kind: str = "base") -> tuple[BackupSummary, ...]:
    """Return a backup for each day."""
    return tuple(backup(day * DAY, kind) for day in range(days))


def test_a_month_of_fulls_and_a_week_of_wal() -> None:
    """After 60 days: 30 days of daily backups stay, the WAL since the first backup of the last week, and the others' own."""
    days = 60
    stock = Stock(daily(days), wal(days * DAY), times=at(*range(0, days * DAY, 6)))
    decision = decide(stock, replace(KEEPING, most_at_once=1.0), hour(days * DAY - DAY + 1))
    assert gone(decision) == [b.id for b in stock.backups[: days - 31]], (
        "the one of 30 days ago is not older than 30 days"
    )
    first = days - 1 - 7
    left = applied(stock, decision)
    whole = sorted(left.wal.whole[1])
    own = [day * DAY // SEGMENT for day in range(days - 31, first)]
    assert whole == [*own, *range(first * DAY // SEGMENT, days * DAY // SEGMENT)]
    assert decision.before == (TimeRange(hour(1), hour(days * DAY - 6)),)
    assert decision.after[-1] == TimeRange(hour(first * DAY + 1), hour(days * DAY - 6))
    singles = decision.after[:-1]
    assert [r.start for r in singles] == [hour(day * DAY + 1) for day in range(days - 31, first)]
    assert all(r.end - r.start <= timedelta(hours=SEGMENT) for r in singles), (
        "an older one offers little more than its end"
    )
    assert not decide(left, KEEPING, hour(days * DAY - DAY + 1)).going


def test_too_many_at_once_are_not_removed_unasked() -> None:
    """A clock far ahead, or a typing error in the ages, would remove most backups: that is said, with numbers."""
    stock = Stock(daily(40), wal(40 * DAY))
    decision = decide(stock, replace(KEEPING, base=timedelta(days=3)), hour(40 * DAY))
    assert decision.too_many == f"{len(decision.going)} of 40 backups would go at once, more than 50%."
    assert not decide(stock, KEEPING, hour(40 * DAY)).too_many


def test_when_backups_stop_none_goes() -> None:
    """A year without a backup, or a clock a year ahead: ages are counted to the newest backup, and nothing more goes."""
    stock = Stock((*daily(10), *daily(10, "dump")), wal(10 * DAY))
    soon, later = (decide(stock, KEEPING, hour(hours)) for hours in (12 * DAY, 400 * DAY))
    assert gone(later) == gone(soon) == []
    assert later.wal == soon.wal


def test_dumps_that_go_on_do_not_age_base_backups() -> None:
    """Base backups stopped a year ago, dumps did not: the base backups of then stay."""
    dumps = tuple(backup(day * DAY, "dump") for day in range(300, 400))
    stock = Stock((*daily(10), *dumps), wal(10 * DAY))
    assert all("dump" in name for name in gone(decide(stock, replace(KEEPING, most_at_once=1.0), hour(400 * DAY))))


def test_dumps_of_a_part_displace_none_of_everything() -> None:
    """Nightly dumps stopped; tables dumped by hand every day since neither age those of then nor stand for the last ones."""
    parts = tuple(backup(day * DAY, "dump", partial="chosen tables") for day in range(300, 400))
    stock = Stock((*daily(10, "dump"), *parts), wal(DAY))
    decision = decide(stock, replace(KEEPING, most_at_once=1.0), hour(400 * DAY))
    assert gone(decision) == []
    later = Stock((*daily(10, "dump"), *(backup(d * DAY, "dump") for d in (398, 399)), *parts[:80]), wal(DAY))
    decision = decide(later, replace(KEEPING, most_at_once=1.0), hour(400 * DAY))
    assert gone(decision) == [b.id for b in (*daily(10, "dump"), *parts[:70])]
    assert reason(decision, parts[79]) == "21 days old, kept for 30 days"
    alone = decide(Stock(parts[:3], wal(DAY)), replace(KEEPING, most_at_once=1.0), hour(400 * DAY))
    assert gone(alone) == []


def test_backups_from_the_future_stay_and_do_not_count() -> None:
    """A backup that a clock ahead dated next year neither goes nor stands for the last sound one."""
    future = backup(500 * DAY)
    stock = Stock((*daily(3), future), wal(3 * DAY))
    short = replace(KEEPING, base=timedelta(hours=1), wal=timedelta(hours=1), most_at_once=1.0)
    decision = decide(stock, short, hour(3 * DAY))
    assert "clock" in reason(decision, future)
    kept = [v.backup.id for v in decision.verdicts if not v.goes]
    assert [b.id for b in stock.backups[1:3]] == kept[:2], "two of the present stay besides it"
    back = decide(stock, short, hour(-10 * DAY))
    assert not back.going, "with the clock set back, everything is from the future"
    assert not back.wal


def test_the_last_sound_and_the_last_verified_stay() -> None:
    """However old: newer damaged ones do not count, nor make others older; the last verified one stays although it is older."""
    verified = backup(0, verified=True)
    sound = [backup(day * DAY) for day in (1, 2, 3)]
    damaged = [backup(day * DAY, damaged="block 7") for day in range(4, 8)]
    stock = Stock((verified, *sound, *damaged), wal(8 * DAY))
    decision = decide(stock, replace(KEEPING, base=timedelta(hours=1), most_at_once=1.0), hour(9 * DAY))
    assert gone(decision) == [sound[0].id, damaged[0].id]
    assert reason(decision, verified) == "it is the last verified base backup"
    assert reason(decision, sound[2]) == "it is the last sound base backup"
    assert reason(decision, sound[1]) == "it is among the last 2 sound base backups"


def test_a_chain_stays_whole() -> None:
    """A full older than 30 days stays while a kept incremental is built on it, through others; children go before parents."""
    full = backup(0)
    first = backup(DAY, "incr", parent=full.id)
    second = backup(35 * DAY, "incr", parent=first.id)
    others = tuple(backup(day * DAY) for day in range(2, 41))
    stock = Stock((full, first, second, *others), wal(41 * DAY))
    decision = decide(stock, replace(KEEPING, most_at_once=1.0), hour(40 * DAY + 2))
    assert reason(decision, full) == f"{first.id} is built on it"
    assert reason(decision, first) == f"{second.id} is built on it"
    newer = backup(41 * DAY, "incr", parent=others[-1].id)
    later = decide(replace(stock, backups=(*stock.backups, newer)), replace(KEEPING, most_at_once=1.0), hour(48 * DAY))
    order = [v.backup.id for v in later.going]
    assert order.index(second.id) < order.index(first.id) < order.index(full.id)


@pytest.mark.parametrize("rule", ["pinned", "held", "leased"])
def test_pins_runs_and_leases_keep(rule: str) -> None:
    """What is pinned, read by a run or leased by a request stays beyond its age; after a lease also everything newer."""
    backups = daily(50)
    old = backups[3]
    stock = Stock(backups, wal(50 * DAY))
    stock = {
        "pinned": replace(stock, backups=(*backups[:3], replace(old, pinned=True), *backups[4:])),
        "held": replace(stock, held={old.id: "run x"}),
        "leased": replace(stock, leased={old.id: "request r1"}, wal_leases=(WalLease("request r1", 1, old.start_lsn),)),
    }[rule]
    decision = decide(stock, replace(KEEPING, most_at_once=1.0), hour(50 * DAY))
    assert old.id not in gone(decision)
    assert old.start_lsn // SEGMENT in applied(stock, decision).wal.whole[1], "with its own WAL"
    if rule == "leased":
        [why] = [verdict.reason for verdict in decision.verdicts if verdict.backup.id == old.id]
        assert why == "request r1 needs it"
        assert gone(decision) == [b.id for b in backups[:3]]
        assert not [s for s in decision.wal if s.number >= old.start_lsn // SEGMENT]


def test_an_upgraded_cluster_is_judged_by_itself() -> None:
    """The old system's backups age with those of the new one, its last ones stay, and none goes by the order of timelines."""
    old = Stock(daily(40), wal(40 * DAY), newest={"base": hour(200 * DAY)})
    decision = decide(old, replace(KEEPING, most_at_once=1.0), hour(200 * DAY))
    assert gone(decision) == [b.id for b in old.backups[:-2]]
    after = tuple(backup(day * DAY, timeline=1) for day in range(41, 60))
    before = tuple(backup(day * DAY, timeline=5) for day in range(20, 41))
    history = {5: (Fork(1, Lsn(20 * DAY)),)}
    reset = Stock((*before, *after), replace(wal(60 * DAY, since=41 * DAY), histories=history))
    assert not [v for v in decide(reset, KEEPING, hour(59 * DAY)).going if v.backup.timeline == 1]


def test_a_timeline_of_unknown_origin_is_left_alone() -> None:
    """Without its history file neither its backups go, however old, nor any WAL that it may have grown out of."""
    strange = backup(20 * DAY, timeline=3)
    stored = wal(20 * DAY)
    stored = replace(stored, whole={**stored.whole, 3: frozenset(range(40, 120))}, stored_at={1: hour(0), 3: hour(0)})
    stock = Stock((*daily(19), strange, *(backup(d * DAY, timeline=3) for d in range(21, 60))), stored)
    decision = decide(stock, replace(KEEPING, most_at_once=1.0), hour(60 * DAY))
    assert not [v for v in decision.going if v.backup.timeline == 3]
    assert not [s for s in decision.wal if s.timeline == 1]
    assert "nobody knows" in reason(decision, strange)


def test_an_abandoned_branch_goes_once_it_is_older_than_the_window() -> None:
    """After an undo the branch that was left keeps its window for a week; then only its end stays, and its history file."""
    fork = 10 * DAY
    histories = {2: (Fork(1, Lsn(fork)),), 3: (Fork(1, Lsn(fork - DAY)),)}
    whole = {
        1: frozenset(range(fork // SEGMENT + 1)),
        2: frozenset(range(fork // SEGMENT, (fork + 3 * DAY) // SEGMENT)),
        3: frozenset(range((fork - DAY) // SEGMENT, (fork + 40 * DAY) // SEGMENT)),
    }
    stored = StoredWal(
        SEGMENT, whole, {}, {1: hour(fork), 2: hour(fork + 3 * DAY), 3: hour(fork + 40 * DAY)}, histories
    )
    bases = (*daily(9), *(backup(fork + d * DAY, timeline=3) for d in range(40)))
    young = decide(Stock(bases[:14], stored, live=3), KEEPING, hour(fork + 5 * DAY))
    assert not [s for s in young.wal if s.timeline == 2]
    old = decide(Stock(bases, stored, live=3), replace(KEEPING, most_at_once=1.0), hour(fork + 39 * DAY))
    last = max(whole[2])
    assert [s.number for s in old.wal if s.timeline == 2] == [n for n in sorted(whole[2]) if n != last]


@dataclass(frozen=True)
class World:
    """A random history: a stock and the moment it is looked at."""

    stock: Stock
    now: datetime
    keeping: Keeping


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a history: timelines with forks and abandoned branches, backups of all kinds, holes, missing histories, leases."""
    end = draw(st.integers(1, 40)) * DAY
    histories: dict[int, tuple[Fork, ...]] = {}
    spans = {1: (0, draw(st.integers(1, end)))}
    for timeline in range(2, draw(st.integers(1, 4)) + 1):
        parent = draw(st.integers(1, timeline - 1))
        start, stop = spans[parent]
        fork = draw(st.integers(start, stop))
        spans[timeline] = (fork, fork + draw(st.integers(1, 20 * DAY)))
        histories[timeline] = (*histories.get(parent, ()), Fork(parent, Lsn(fork)))
    whole, begun, stored_at = {}, {}, {}
    for timeline, (start, stop) in spans.items():
        lost = draw(st.sets(st.integers(start // SEGMENT, stop // SEGMENT), max_size=2))
        numbers = frozenset(range(start // SEGMENT, stop // SEGMENT)) - lost
        if numbers:
            whole[timeline] = numbers
        if stop % SEGMENT:
            begun[timeline, stop // SEGMENT] = stop % SEGMENT
        stored_at[timeline] = hour(stop)
    missing = draw(st.sets(st.sampled_from([2, 3, 4]), max_size=1)) if draw(st.integers(0, 4)) == 0 else set()
    stored = StoredWal(SEGMENT, whole, begun, stored_at, {t: h for t, h in histories.items() if t not in missing})
    backups = draw(_backups(spans))
    now = hour(end + draw(st.sampled_from([0, 1, DAY, 10 * DAY, 400 * DAY, -5 * DAY])))
    leased = draw(st.sets(st.sampled_from([b.id for b in backups]), max_size=2)) if backups else set()
    held = draw(st.sets(st.sampled_from([b.id for b in backups]), max_size=2)) if backups else set()
    leases = tuple(WalLease("request", b.timeline, b.start_lsn) for b in backups if b.id in leased)
    times = tuple(KnownTime(t, Lsn(n), hour(n)) for t, (a, b) in spans.items() for n in range(a, b, 15))
    times += tuple(KnownTime(b.timeline, b.end_lsn, b.finished_at) for b in backups)
    stock = Stock(
        backups,
        stored,
        held=dict.fromkeys(held, "run"),
        leased=dict.fromkeys(leased, "request"),
        wal_leases=leases,
        live=draw(st.sampled_from([None, *spans])),
        times=times,
    )
    keeping = Keeping(
        base=timedelta(days=draw(st.integers(1, 30))),
        incremental=timedelta(days=draw(st.integers(1, 10))),
        dump=timedelta(days=draw(st.integers(1, 30))),
        wal=timedelta(days=draw(st.integers(1, 10))),
        minimum_base=draw(st.integers(1, 3)),
        minimum_dump=draw(st.integers(1, 3)),
    )
    return World(stock, now, keeping)


@st.composite
def _backups(draw: st.DrawFn, spans: dict[int, tuple[int, int]]) -> tuple[BackupSummary, ...]:
    found: dict[BackupId, BackupSummary] = {}
    for _ in range(draw(st.integers(0, 12))):
        timeline = draw(st.sampled_from(sorted(spans)))
        first, last = spans[timeline]
        start = draw(st.integers(first, last))
        kind = draw(st.sampled_from(["base", "base", "dump", "incr"]))
        parents = [b.id for b in found.values() if b.kind != "dump" and b.timeline == timeline and b.start_lsn < start]
        if kind == "incr" and not parents:
            kind = "base"
        made = backup(
            start,
            kind,
            timeline=timeline,
            length=draw(st.integers(1, 20)),
            parent=draw(st.sampled_from(parents)) if kind == "incr" else None,
            verified=draw(st.integers(0, 3)) == 0,
            damaged="a flipped bit" if draw(st.integers(0, 4)) == 0 else None,
            pinned=draw(st.integers(0, 9)) == 0,
            partial="chosen tables" if kind == "dump" and draw(st.integers(0, 2)) == 0 else "",
        )
        found[made.id] = made
    return tuple(sorted(found.values(), key=lambda b: b.id))


@given(worlds())
@examples(150)
def test_nothing_that_stays_is_broken(world: World) -> None:
    """What stays can be restored as well as before: its parents and all WAL of its own are there; pins, leases and runs hold."""
    stock = world.stock
    decision = decide(stock, world.keeping, world.now)
    left = applied(stock, decision)
    kept, known = {b.id for b in left.backups}, {b.id for b in stock.backups}
    removed = {(s.timeline, s.number) for s in decision.wal}
    for one in left.backups:
        assert one.parent is None or one.parent not in known or one.parent in kept
        if one.kind != "dump":
            own = range(one.start_lsn // SEGMENT, (one.end_lsn - 1) // SEGMENT + 1)
            line = lineage(one.timeline, stock.wal.histories)
            assert not {(line.file_timeline(number, SEGMENT), number) for number in own} & removed
            assert not {(one.timeline, number) for number in own} & removed
    for one in stock.backups:
        if one.pinned or one.id in stock.held or one.id in stock.leased:
            assert one.id in kept
    for lease in stock.wal_leases:
        assert not [s for s in decision.wal if s.timeline == lease.timeline and s.number >= lease.start // SEGMENT]


@given(worlds())
@examples(150)
def test_the_last_of_each_kind_stay(world: World) -> None:
    """Of each kind: the last, the last sound, the last verified one, and as many sound ones as the configuration says.

    Dumps of a part are a kind of their own, and displace none of everything.
    """
    decision = decide(world.stock, world.keeping, world.now)
    kept = {b.id for b in applied(world.stock, decision).backups}
    present = [b for b in world.stock.backups if b.finished_at <= world.now]
    for kind in ("base", "incr", "dump"):
        whole = (b for b in present if b.kind == kind and not b.partial)
        newest_first = sorted(whole, key=lambda b: (b.finished_at, b.id), reverse=True)
        sound = [b for b in newest_first if not b.damaged]
        verified = [b for b in sound if b.verified_at]
        for last in (newest_first[:1], sound[: world.keeping.minimum(kind)], verified[:1]):
            assert {b.id for b in last} <= kept
    assert {b.id for b in world.stock.backups if b.finished_at > world.now + timedelta(hours=1)} <= kept


@given(worlds())
@examples(150)
def test_the_window_shrinks_only_where_the_policy_says(world: World) -> None:
    """Every time of the WAL window that could be recovered can still be; nothing becomes recoverable that was not."""
    decision = decide(world.stock, world.keeping, world.now)
    since = world.now - world.keeping.wal
    for part in decision.before:
        for moment in _moments(part):
            if moment >= since:
                assert _within(decision.after, moment)
    for part in decision.after:
        assert all(_within(decision.before, moment) for moment in _moments(part))


@given(worlds())
@examples(120)
def test_a_second_run_finds_nothing_and_time_only_adds(world: World) -> None:
    """Deciding again about what is left removes nothing; what goes today also goes tomorrow."""
    decision = decide(world.stock, world.keeping, world.now)
    again = decide(applied(world.stock, decision), world.keeping, world.now)
    assert not again.going
    assert not again.wal
    if world.keeping.base >= world.keeping.wal:
        tomorrow = decide(world.stock, world.keeping, world.now + timedelta(days=1))
        assert set(gone(decision)) <= set(gone(tomorrow))


@given(worlds(), st.data())
@examples(80)
def test_stopping_anywhere_leaves_nothing_broken(world: World, data: st.DataObject) -> None:
    """Stopped after any number of backups, or of segments: what is left is whole, and the next run comes to the same end."""
    decision = decide(world.stock, world.keeping, world.now)
    count = data.draw(st.integers(0, len(decision.going) + len(decision.wal)))
    away = {v.backup.id for v in decision.going[:count]}
    segments = decision.wal[: max(0, count - len(decision.going))]
    half = replace(
        world.stock,
        backups=tuple(b for b in world.stock.backups if b.id not in away),
        wal=world.stock.wal.without(segments),
    )
    ids = {b.id for b in half.backups}
    known = {b.id for b in world.stock.backups}
    assert all(b.parent in ids for b in half.backups if b.parent in known)
    rest = decide(half, world.keeping, world.now)
    assert applied(half, rest).backups == applied(world.stock, decision).backups
    assert applied(half, rest).wal.segments == applied(world.stock, decision).wal.segments


@given(st.lists(st.tuples(st.sampled_from(["base", "incr", "dump", "none"]), st.booleans()), min_size=10, max_size=45))
@examples(25)
def test_day_by_day_the_last_week_can_always_be_recovered(days: Sequence[tuple[str, bool]]) -> None:
    """Retention each day beside an archive that keeps all: whatever of the last week that can recover, ours can too."""
    everything: list[BackupSummary] = []
    real = Stock((), wal(0))
    for day, (kind, sound) in enumerate(days):
        if kind != "none":
            parents = [b.id for b in real.backups if b.kind != "dump"]
            kind = "base" if kind == "incr" and not parents else kind
            made = backup(
                day * DAY, kind, parent=parents[-1] if kind == "incr" else None, damaged=None if sound else "x"
            )
            everything.append(made)
            real = replace(real, backups=(*real.backups, made))
        until, now = (day + 1) * DAY, hour((day + 1) * DAY)
        times = at(*range(0, until, 4))
        new = frozenset(range(day * DAY // SEGMENT, until // SEGMENT))
        held = real.wal.whole.get(1, frozenset()) | new
        real = replace(real, wal=StoredWal(SEGMENT, {1: held}, {}, {1: now}), times=times)
        ideal = decide(Stock(tuple(everything), wal(until), times=times), KEEPING, now).before
        decision = decide(real, KEEPING, now)
        assert not decision.too_many
        real = applied(real, decision)
        for moment in (m for part in ideal for m in _moments(part) if m >= now - KEEPING.wal):
            assert _within(decision.after, moment)


def _moments(part: TimeRange) -> list[datetime]:
    hours = int((part.end - part.start) / timedelta(hours=1))
    return [part.start + timedelta(hours=n) for n in range(hours + 1)]


def _within(window: Iterable[TimeRange], moment: datetime) -> bool:
    return any(part.start <= moment <= part.end for part in window)


def test_segments_are_ordered_oldest_first() -> None:
    """WAL goes oldest first, whatever its timeline, so that a crash leaves no hole in the middle."""
    assert sorted([Segment(3, 1), Segment(1, 2), Segment(2, 1)]) == [Segment(1, 2), Segment(2, 1), Segment(3, 1)]


def test_ages_are_told_as_everywhere() -> None:
    """Under two days in hours and minutes, from there on in days."""
    stock = Stock(daily(3), wal(3 * DAY))
    reasons = [verdict.reason for verdict in decide(stock, KEEPING, hour(3.5 * DAY) + timedelta(minutes=18)).verdicts]
    assert [reason.partition(",")[0] for reason in reasons] == ["3.5 days old", "2.5 days old", "35 h 18 min old"]
