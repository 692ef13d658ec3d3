"""What lacks where, what of it is brought, and how late it is: pure, so every case is a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model.alerts import Severity
from bot.model.backups import BackupSummary
from bot.model.copies import Lag, copy_late, lags, merged, where
from bot.model.ids import BackupId, stamp
from bot.model.keeping import Keeping
from bot.model.retained_wal import Segment, StoredWal
from bot.model.sync import Circumstances, Held, Lacking, in_order, joined, kind_of_event, lacking, pinned_by
from bot.model.wal import Fork, Lsn
from tests.unit.repository.sample import NAME, SYSTEM
from tests.unit.retention_world import day

SIZE = 1024 * 1024
NOW = day(10)
FIRST = 50
"""The segment of day 0."""


def days(wal: Iterable[int]) -> StoredWal:
    """Return the whole segments of some days."""
    return StoredWal(SIZE, {1: frozenset(FIRST + number for number in wal)})


def backup(number: int, kind: str = "base", **more: object) -> BackupSummary:
    """Return the backup of a day; its WAL is that day's segment."""
    start = (FIRST + number) * SIZE + 40
    made = BackupSummary(
        BackupId(f"{stamp(day(number))}-{kind}-{number % 0x10000:04x}"), kind, NAME, SYSTEM, day(number),
        day(number) + timedelta(minutes=3), 1, Lsn(start), Lsn(start + 200), 1000, 500, 150018, SIZE, "ab",
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def held(
    name: str, *backups: BackupSummary, wal: range = range(20), events: dict[BackupId, set[str]] | None = None
) -> Held:
    """Return what a repository holds."""
    names = {one: frozenset(found) for one, found in (events or {}).items()}
    return Held(name, backups, days(wal), names)


def judged(target: Held, *others: Held, keeping: Keeping | None = None, known: Circumstances | None = None) -> Lacking:
    """Return what a repository lacks."""
    return lacking(target, others, keeping or Keeping(), NOW, known or Circumstances())


def names(found: Lacking) -> list[BackupId]:
    """Return the ids of what is brought."""
    return [one.id for one in found.backups]


def test_what_is_missing_comes_newest_first() -> None:
    """Every backup that another repository holds and this one does not, once, the newest first; parents before children."""
    one, two, three = backup(7), backup(8), backup(9)
    child = backup(9, "incr", parent=two.id)
    assert names(judged(held("a", one), held("b", one, two), held("c", two, three))) == [three.id, two.id]
    assert [b.id for b in in_order([child, two, three])][:2] == [two.id, child.id]
    assert judged(held("a", one), held("b", one)).nothing


def test_what_does_not_come() -> None:
    """What is written or removed now, what retention would remove at once, what has no WAL, and a lone copy that is damaged."""
    gone, young = backup(-40), backup(9)
    expired, written = {young.id: {"20260110T000000.000000Z-expired"}}, Circumstances(written=frozenset({young.id}))
    others = held("b", gone, backup(2), backup(8), young)
    assert "retention would remove it" in judged(held("a"), replace(others, wal=days(range(-50, 20)))).left[gone.id]
    assert judged(held("a", events=expired), others).left[young.id] == "retention is removing it here"
    assert "from b" in judged(held("a"), held("b", young, events=expired)).left[young.id]
    assert judged(held("a"), others, known=written).left[young.id] == "a run is writing it"
    assert "its own WAL" in judged(held("a", wal=range(0)), held("b", young, wal=range(3))).left[young.id]
    spoiled = replace(young, damaged="a bit")
    assert "there is no other" in judged(held("a"), held("b", spoiled)).left[young.id]
    assert names(judged(held("a"), held("b", spoiled), held("c", young))) == [young.id]


def test_a_copy_is_judged_as_it_will_be() -> None:
    """Nobody has proved a copy yet and a copy's damage stays behind, but pins and the server's damage come along."""
    old = backup(-40, verified_at=day(9))
    keeping = Keeping(minimum_base=1)
    wal = days(range(-50, 20))
    others = replace(held("b", old, backup(2), backup(9)), wal=wal)
    assert old.id not in names(judged(held("a"), others, keeping=keeping)), "verified there, and too old here"
    pinned = replace(others, events={old.id: frozenset({"20260109T000000.000000Z-pinned"})})
    [brought] = [one for one in judged(held("a"), pinned, keeping=keeping).backups if one.id == old.id]
    assert brought.pinned
    assert brought.verified_at is None
    bad = backup(9, damaged="block 7")
    [copied] = judged(held("a"), held("b", bad, events={bad.id: {"20260109T000000.000000Z-damaged"}})).backups
    assert copied.damaged == "block 7"


@pytest.mark.parametrize(
    ("said", "pinned"),
    [
        ((), None),
        (("20260101T000000.000000Z-pinned",), True),
        (("20260102T000000.000000Z-unpinned", "20260101T000000.000000Z-pinned"), False),
        (("20260102T000000.000000Z-pinned", "20260101T000000.000000Z-unpinned"), True),
        (("20260102T000000.000000Z-verified",), None),
    ],
)
def test_the_newest_word_about_a_pin(said: tuple[str, ...], pinned: bool | None) -> None:
    """Whichever repository it was written in, the last word holds."""
    assert pinned_by(said) is pinned


def test_events_that_travel() -> None:
    """Pins and the server's damage are brought to backups that are here; what speaks of one repository is not."""
    one = backup(9)
    kinds = ("pinned", "unpinned", "damaged", "copy-damaged", "verified", "report", "orphaned")
    there = {f"2026010{n}T000000.000000Z-{kind}" for n, kind in enumerate(kinds, start=1)}
    found = judged(held("a", one), held("b", one, events={one.id: there})).events
    assert [kind_of_event(name) for _, name in found] == ["pinned", "unpinned", "damaged"]
    assert kind_of_event("20260101T000000.000000Z-copy-damaged") == "copy-damaged"
    assert kind_of_event("nothing") == ""


def test_wal_that_retention_would_keep_is_brought() -> None:
    """Since the first backup of the window, the own WAL of older ones, and pieces that reach further; not what serves nobody."""
    bases = [backup(1), backup(5), backup(9)]
    here = held("a", *bases, wal=range(0))
    there = Held("b", tuple(bases), replace(days(range(10)), begun={(1, FIRST + 10): 500}), {})
    found = judged(here, there, keeping=Keeping(wal=timedelta(days=2)))
    assert [s.number - FIRST for s in found.segments] == [1, 5, 6, 7, 8, 9]
    assert found.begun == (Segment(FIRST + 10, 1),)
    further = Held("a", tuple(bases), replace(days(range(10)), begun={(1, FIRST + 10): 700}), {})
    assert judged(further, there, keeping=Keeping(wal=timedelta(days=2))).begun == ()


def test_histories_are_joined() -> None:
    """A history file anywhere says where a timeline came from; whole segments count more than pieces."""
    one = StoredWal(SIZE, {1: frozenset({1})}, {(1, 2): 10}, {1: day(1)}, {2: (Fork(1, Lsn(5)),)})
    two = StoredWal(SIZE, {1: frozenset({2})}, {(1, 3): 7}, {1: day(2)})
    both = joined([one, two])
    assert both.whole == {1: frozenset({1, 2})}
    assert both.begun == {(1, 3): 7}
    assert both.stored_at == {1: day(2)}
    assert set(both.histories) == {2}
    assert judged(Held("a", wal=two), Held("b", wal=one)).histories == (2,)


ids = st.sets(st.integers(0, 9), max_size=6)


@given(ids, ids, ids)
def test_in_the_end_all_hold_the_same(a: set[int], b: set[int], c: set[int]) -> None:
    """Once each has got what it lacks, none lacks anything, and none had lost anything."""
    stores = {"a": a, "b": b, "c": c}
    after = {}
    for name, own in stores.items():
        others = [held(o, *(backup(n) for n in sorted(found))) for o, found in stores.items() if o != name]
        found = judged(held(name, *(backup(n) for n in sorted(own))), *others)
        after[name] = own | {n for n in range(10) if backup(n).id in names(found)}
    assert after["a"] == after["b"] == after["c"] == a | b | c


def test_lag_counts_what_is_missed() -> None:
    """Sound backups that another holds, younger than they are kept or pinned; older ones may have been removed on purpose."""
    old, pinned, young, bad = backup(-40), backup(-30, pinned=True), backup(8), backup(9, damaged="a bit")
    behind, ahead = lags({"a": [], "b": [old, pinned, young, bad]}, Keeping(), NOW)
    assert behind.backups == (pinned.id, young.id)
    assert behind.bytes_stored == 1000
    assert behind.since == pinned.finished_at
    assert behind.age(NOW) == NOW - pinned.finished_at
    assert ahead == Lag("b")
    assert ahead.age(NOW) == timedelta()


def test_late_copies_warn_and_then_page() -> None:
    """Past the target a warning, past the maximum a page; nothing counts from before copying was asked for."""
    lag = Lag("offsite", (backup(8).id,), 5_000_000_000, NOW - timedelta(hours=6))

    def said(target: int, maximum: int, since: int = 100) -> list[Severity]:
        limits = {"target": timedelta(hours=target), "maximum": timedelta(hours=maximum)}
        found = copy_late(NAME, [lag, Lag("local")], counted_since=NOW - timedelta(hours=since), now=NOW, **limits)
        assert all(one.subject == "offsite" and "5.0 GB" in one.sentence for one in found)
        return [one.severity for one in found]

    assert said(7, 9) == []
    assert said(4, 9) == [Severity.WARN]
    assert said(4, 5) == [Severity.PAGE]
    assert said(4, 5, since=3) == []


def test_one_backup_in_several_places() -> None:
    """It is sound where one copy is, verified since the last proof of a sound copy, and pinned where any is."""
    sound, spoiled = backup(3, verified_at=day(4)), backup(3, damaged="a bit", verified_at=day(5), pinned=True)
    both = merged([spoiled, sound])
    assert (both.damaged, both.verified_at, both.pinned) == (None, day(4), True)
    assert merged([spoiled]).damaged == "a bit"
    assert where({"local": spoiled, "offsite": sound}) == ["local (damaged)", "offsite"]
    assert where({"local": spoiled}) == ["local"]
