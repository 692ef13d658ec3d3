"""Times against WAL whose commit times are not in order: on a server they rarely are not, so here the WAL is a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Unreachable
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.targets import Commit
from bot.model.timelines import Leg, Lineage, Stretch
from bot.model.wal import Lsn
from bot.model.wal_pages import Placed
from bot.postgres.ground import Ground
from bot.postgres.resolve_time import find_time
from bot.postgres.wal_records import Record, TransactionEnd

START = datetime(2026, 11, 22, 2, tzinfo=UTC)
SEGMENT = 1 << 20
STEP = 64


@dataclass
class Tape:
    """WAL as a list of commits and aborts, one every 64 bytes; a `Wal` for resolving."""

    ends: list[Commit]
    segment_bytes: int = SEGMENT
    line: Lineage = field(default_factory=lambda: Lineage((Leg(1, Lsn(0)),)))
    stretches: list[Stretch] = field(init=False)

    def __post_init__(self) -> None:
        self.stretches = [Stretch(Lsn(0), Lsn(STEP * (len(self.ends) + 1)))]

    def events(self, start: Lsn, end: Lsn) -> Iterator[TransactionEnd]:
        """Yield what ended from `start` on and before `end`, in WAL order."""
        return (TransactionEnd(c, (), prepared=False) for c in self.ends if start <= c.lsn and c.end <= end)

    def records(self, start: Lsn, end: Lsn, *, rmgrs: Iterable[str] = ()) -> Iterator[Record]:
        """Nothing here asks for records."""
        raise NotImplementedError

    def record_from(self, lsn: Lsn, end: Lsn) -> Placed | None:
        """Nothing here asks for records."""
        raise NotImplementedError

    def end_of_records(self, start: Lsn, end: Lsn) -> Lsn:
        """Nothing here asks for records."""
        raise NotImplementedError


def at(second: int) -> datetime:
    """Return a moment of the tape."""
    return START + timedelta(seconds=second)


def tape(seconds: list[int]) -> Tape:
    """Return a tape whose n-th commit carries the n-th time, whatever its order."""
    return Tape([Commit(700 + n, Lsn(STEP * (n + 1)), Lsn(STEP * (n + 2)), at(s)) for n, s in enumerate(seconds)])


def backup(after: int, finished: int) -> BackupSummary:
    """Return a base backup that ended behind the first `after` commits, by the clock at `finished`."""
    end = Lsn(STEP * (after + 1))
    return BackupSummary(
        BackupId(f"after-{after}"), "base", ClusterName("slips"), SystemId("7"), at(finished) - timedelta(seconds=1),
        at(finished), 1, Lsn(end - 32), end, 0, 0, 180000, SEGMENT, "",
    )  # fmt: skip


def found(commits: Tape, backups: list[BackupSummary], second: int, *, before: bool = False) -> Lsn:
    """Return where a recovery to a time stops, everything up to now being there."""
    ground = Ground(backups, commits, now=at(10_000), complete_until=at(9_999))
    return find_time(ground, at(second), before=before).lsn


def test_the_first_later_commit_in_the_wal_ends_it_though_an_earlier_one_follows() -> None:
    """Up to 12: the commit of 15 ends it, and what says 11 behind it is left out, as PostgreSQL itself would."""
    commits = tape([10, 15, 11, 20])
    assert found(commits, [backup(0, 5)], 12) == commits.ends[1].lsn
    assert found(commits, [backup(0, 5)], 15) == commits.ends[3].lsn
    assert found(commits, [backup(0, 5)], 15, before=True) == commits.ends[1].lsn
    assert found(commits, [backup(0, 5)], 11, before=True) == commits.ends[1].lsn


def test_a_backup_that_holds_something_later_does_not_serve() -> None:
    """A backup finished at 12 already holds a commit that says 15: up to 13 begins at the one before, or is refused."""
    commits = tape([10, 15, 11, 20])
    assert found(commits, [backup(0, 5), backup(2, 12)], 13) == commits.ends[1].lsn
    with pytest.raises(Unreachable) as refused:
        found(commits, [backup(2, 12)], 13)
    assert refused.value.reason_code == "before-first-backup"


@given(st.lists(st.integers(10, 40), min_size=1, max_size=12), st.integers(0, 12), st.integers(5, 45), st.booleans())
def test_any_order_of_times(seconds: list[int], after: int, second: int, before: bool) -> None:
    """For every order of times and two backups, what is kept is all before the first end that passed the time, and no more."""
    commits = tape(seconds)
    later = backup(min(after, len(seconds)), max(seconds[:after], default=5))
    passed = [c for c in commits.ends if (c.at >= at(second) if before else c.at > at(second))]
    wanted = passed[0].lsn if passed else commits.stretches[-1].end
    assert found(commits, [backup(0, 5), later], second, before=before) == wanted
