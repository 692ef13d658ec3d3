"""The schedule computed from the ledger: nothing twice, nothing forgotten, and nothing a person does gets in its way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot import desk
from bot.config import Config, Schedule
from bot.errors import Conflict
from bot.ledger import audit, runs
from bot.model.ids import ClusterName, RunId
from bot.model.pauses import Pause
from bot.model.runs import Job, Run, RunState
from bot.process.place import Place
from bot.process.receivers import back_off
from bot.process.schedule import queue_after_backups, queue_due, retry_interrupted
from jobs.monitor.ledger import missed, read
from tests.unit.desk_world import ALICE, SLIPS, World, new_world

SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)


class Bot:
    """What looks at the schedule: a place with a ledger and a clock that is set by hand."""

    def __init__(
        self,
        world: World,
        base_backup: str = "0 2 * * *",
        wal_check: str = "off",
        zone: str = "UTC",
        sync: str = "off",
        repositories: tuple[str, ...] = ("local",),
    ) -> None:
        self.world = world
        others = dict.fromkeys(Schedule.model_fields, "off")
        schedule = {**others, "base_backup": base_backup, "wal_check": wal_check, "sync": sync}
        config = Config.model_validate(
            {
                "ledger": str(world.ledger.path),
                "repositories": {name: {"url": f"file:///{name}"} for name in repositories},
                "encryption": {"key": "file:/key"},
                "clusters": {SLIPS: {"dsn": "host=/nowhere", "timezone": zone, "schedule": schedule}},
            }
        )
        self.place = Place(config, Path("/pitstop.toml"), world.ledger, now=lambda: world.now)

    def look(self, at: datetime) -> list[str]:
        """Look at the schedule at a time; finish what was queued, and return for which slots that was."""
        self.world.now = at
        queued = queue_due(self.place)
        for run in queued:
            self.end(run)
        return [str(run.scheduled_for) for run in queued]

    def end(self, run: Run) -> None:
        """Run a queued run to its good end."""
        desk.start_run(self.world.ledger, run.id, self.world.now)
        desk.finish_run(self.world.ledger, run.id, {}, self.world.now)

    def back_up_by_hand(self) -> Run:
        """Have Alice make a backup now."""
        return desk.back_up(self.world.ledger, self.world.caller(ALICE), SLIPS)

    def pause(self, span: timedelta) -> Pause:
        """Have Alice pause the schedule."""
        return desk.pause(self.world.ledger, self.world.caller(ALICE), SLIPS, span=span)

    def resume(self) -> Pause:
        """Have Alice resume it."""
        return desk.resume_schedule(self.world.ledger, self.world.caller(ALICE), SLIPS)


@pytest.fixture
def world() -> Iterator[World]:
    """Return a world of its own for each test."""
    with new_world() as made:
        yield made


def test_a_backup_by_hand_leaves_the_schedule_alone(world: World) -> None:
    """After `/backup now` the nightly backups go on as before."""
    bot = Bot(world)
    assert bot.look(SUNDAY) == []
    assert bot.look(SUNDAY + timedelta(hours=3)) == ["2026-11-22"]
    bot.end(bot.back_up_by_hand())
    assert bot.look(SUNDAY + timedelta(days=1, hours=3)) == ["2026-11-23"]


def test_a_run_queued_for_something_else_says_nothing_about_the_schedule(world: World) -> None:
    """An occurrence whose key is no slot, as an older version wrote for backups by hand, does not stop the schedule."""
    bot = Bot(world)
    bot.look(SUNDAY)
    entropy = world.entropy()
    run = desk.queue_run(
        world.ledger,
        job=Job.BASE_BACKUP,
        cluster=SLIPS,
        args={},
        by=ALICE.key,
        at=world.now,
        entropy=entropy,
        scheduled_for="asked:trigger:1.2",
    )
    bot.end(run)
    assert bot.look(SUNDAY + timedelta(days=1, hours=3)) == ["2026-11-23"]


def test_what_is_running_stays_due(world: World) -> None:
    """While a backup by hand holds the cluster the scheduled one waits, and comes once when it is free."""
    bot = Bot(world)
    bot.look(SUNDAY)
    world.now = SUNDAY + timedelta(hours=1, minutes=59)
    by_hand = bot.back_up_by_hand()
    assert bot.look(SUNDAY + timedelta(hours=2)) == []
    bot.end(by_hand)
    assert bot.look(SUNDAY + timedelta(hours=2, minutes=9)) == ["2026-11-22"]
    assert bot.look(SUNDAY + timedelta(hours=2, minutes=10)) == []


def test_what_was_missed_is_caught_up_once(world: World) -> None:
    """A bot that was down for a week makes one backup when it comes back, and the next one in its time."""
    bot = Bot(world)
    bot.look(SUNDAY)
    assert bot.look(SUNDAY + timedelta(days=7, hours=12)) == ["2026-11-29"]
    assert bot.look(SUNDAY + timedelta(days=7, hours=13)) == []
    assert bot.look(SUNDAY + timedelta(days=8, hours=2)) == ["2026-11-30"]


def test_sunday_is_crons_sunday(world: World) -> None:
    """`0 3 * * 0` runs on Sundays, in the cluster's zone, and on no other day of a month."""
    zone = ZoneInfo("Asia/Bangkok")
    bot = Bot(world, "0 3 * * 0", zone=zone.key)
    start = datetime(2026, 11, 1, tzinfo=zone)
    slots = [slot for step in range(30 * 8) for slot in bot.look(start + timedelta(hours=3 * step))]
    assert slots == ["2026-11-01", "2026-11-08", "2026-11-15", "2026-11-22", "2026-11-29"]


@pytest.mark.parametrize(("zone", "day"), [("Europe/Berlin", "2026-10-25"), ("Europe/Berlin", "2026-03-29")])
def test_a_clock_change_neither_skips_nor_doubles(world: World, zone: str, day: str) -> None:
    """Looked at every ten minutes across a change, `30 2 * * *` runs once, and the hourly check once per elapsed hour."""
    bot = Bot(world, "30 2 * * *", "0 * * * *", zone)
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    bot.look(midnight - timedelta(minutes=1))
    slots = [slot for ten in range(6 * 6) for slot in bot.look(midnight + timedelta(minutes=10 * ten))]
    assert [slot for slot in slots if not slot.endswith("Z")] == [day]
    assert len([slot for slot in slots if slot.endswith("Z")]) == 6


def test_two_bots_queue_an_occurrence_once(world: World) -> None:
    """Two that look at the same moment, as at a change of leaders, make one run between them."""
    one, two = Bot(world), Bot(world)
    one.look(SUNDAY)
    world.now = SUNDAY + timedelta(hours=2)
    assert len(queue_due(one.place)) + len(queue_due(two.place)) == 1


def test_an_interrupted_occurrence_is_tried_once_more(world: World) -> None:
    """A scheduled run whose process died is queued again, once; that run dying too is left for the next occurrence."""
    bot = Bot(world)
    bot.look(SUNDAY)
    world.now = SUNDAY + timedelta(hours=2)
    (first,) = queue_due(bot.place)
    desk.interrupt_run(world.ledger, first.id, world.now)
    world.later(seconds=1)
    (second,) = retry_interrupted(bot.place)
    assert retry_interrupted(bot.place) == []
    desk.interrupt_run(world.ledger, second.id, world.now)
    world.later(seconds=1)
    assert (retry_interrupted(bot.place), queue_due(bot.place)) == ([], [])
    with world.ledger.read() as tx:
        states = [run.state for run in runs.recent(tx, cluster=ClusterName(SLIPS), jobs=(Job.BASE_BACKUP,))]
    assert states == [RunState.INTERRUPTED, RunState.INTERRUPTED]


def _ended(state: RunState, lived_s: float) -> Run:
    at = SUNDAY
    return Run(
        id=RunId("r"),
        job=Job.WAL_STREAM,
        cluster=ClusterName(SLIPS),
        state=state,
        version=3,
        args={},
        queued_at=at,
        queued_by="pitstop",
        started_at=at,
        finished_at=at + timedelta(seconds=lived_s),
    )


def test_receivers_are_restarted_with_patience() -> None:
    """Each short life doubles the wait, to a minute at most; one that ran for long, or was asked to stop, costs nothing."""
    short, long = _ended(RunState.FAILED, 2), _ended(RunState.FAILED, 400)
    waits = [back_off([short] * lives).total_seconds() for lives in range(9)]
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert back_off([long, short, short]) == timedelta()
    assert back_off([short, long, short]) == timedelta(seconds=1)
    assert back_off([_ended(RunState.CANCELLED, 2), short]) == timedelta()


def test_every_job_of_the_schedule_has_its_time_unless_told_otherwise() -> None:
    """Without a `[clusters.X.schedule]` base backups, dumps and WAL checks come at the times of the strategy."""
    config = Config.model_validate(
        {
            "repositories": {"local": {"url": "file:///repository"}},
            "encryption": {"key": "file:/key"},
            "clusters": {SLIPS: {"dsn": "host=/nowhere"}},
        }
    )
    times = {job: cron.text for job, cron in config.clusters[SLIPS].schedule.crons(SLIPS)}
    assert times[Job.BASE_BACKUP] == "0 2 * * *"
    assert times[Job.DUMP] == "30 2 * * *"
    assert times[Job.WAL_CHECK] == "0 * * * *"


def test_a_sync_follows_each_backup(world: World) -> None:
    """Once after each backup that ended well, when no other sync is under way and no pause holds it back; hourly besides."""
    bot = Bot(world, sync="20 * * * *", repositories=("local", "offsite"))
    bot.look(SUNDAY)
    assert queue_after_backups(bot.place) == []
    bot.look(SUNDAY + timedelta(hours=2))
    world.later(minutes=1)
    [sync] = queue_after_backups(bot.place)
    assert sync.job is Job.SYNC
    assert queue_after_backups(bot.place) == []
    world.later(minutes=1)
    bot.end(bot.back_up_by_hand())
    world.later(minutes=1)
    assert queue_after_backups(bot.place) == [], "one is under way"
    bot.end(sync)
    bot.pause(timedelta(minutes=10))
    assert queue_after_backups(bot.place) == [], "it is paused"
    bot.resume()
    [late] = queue_after_backups(bot.place)
    bot.end(late)
    assert "2026-11-22T02:20Z" in bot.look(SUNDAY + timedelta(hours=2, minutes=21))


@pytest.mark.parametrize(("sync", "repositories"), [("off", ("local", "offsite")), ("20 * * * *", ("local",))])
def test_no_sync_where_there_is_nothing_to_copy(world: World, sync: str, repositories: tuple[str, ...]) -> None:
    """Neither with one repository, nor where it is off."""
    bot = Bot(world, sync=sync, repositories=repositories)
    bot.look(SUNDAY)
    bot.look(SUNDAY + timedelta(hours=2))
    world.later(hours=2)
    assert queue_after_backups(bot.place) == []
    assert [run.job for run in queue_due(bot.place)] == []


def test_a_paused_schedule_waits_and_catches_up_once(world: World) -> None:
    """While it is paused nothing heavy begins, WAL is checked all the same, and afterwards what was missed comes once."""
    bot = Bot(world, wal_check="0 * * * *")
    bot.look(SUNDAY + timedelta(hours=1))
    world.now = SUNDAY + timedelta(hours=1, minutes=30)
    held = bot.pause(timedelta(days=2))
    assert bot.look(SUNDAY + timedelta(hours=2, minutes=1)) == ["2026-11-22T02:00Z"]
    assert bot.look(SUNDAY + timedelta(days=1, hours=3)) == ["2026-11-23T03:00Z"]
    assert bot.look(held.until) == ["2026-11-23", "2026-11-24T01:00Z"]
    assert bot.look(held.until + timedelta(minutes=1)) == []


def test_a_pause_ends_when_somebody_resumes(world: World) -> None:
    """Resuming before its time lets what is due begin at once; resuming what is not paused is a conflict."""
    bot = Bot(world)
    bot.look(SUNDAY)
    bot.pause(timedelta(days=1))
    assert bot.look(SUNDAY + timedelta(hours=3)) == []
    bot.resume()
    assert bot.look(SUNDAY + timedelta(hours=3)) == ["2026-11-22"]
    with pytest.raises(Conflict) as refused:
        bot.resume()
    assert refused.value.reason_code == "not-paused"
    with world.ledger.read() as tx:
        told = [entry.action for entry in audit.entries(tx) if entry.action.startswith("schedule.")]
    assert told == ["schedule.pause", "schedule.resume", "schedule.resume.refused"]


def test_an_interrupted_run_is_not_tried_again_while_paused(world: World) -> None:
    """The second try of an interrupted backup waits for the end of the pause like the first."""
    bot = Bot(world)
    bot.look(SUNDAY)
    world.now = SUNDAY + timedelta(hours=3)
    (run,) = queue_due(bot.place)
    desk.start_run(world.ledger, run.id, world.now)
    desk.interrupt_run(world.ledger, run.id, world.now)
    held = bot.pause(timedelta(hours=2))
    assert retry_interrupted(bot.place) == []
    world.now = held.until
    assert [again.args["retry_of"] for again in retry_interrupted(bot.place)] == [run.id]


def test_what_a_pause_holds_back_is_not_missed(world: World) -> None:
    """A nightly backup is missed once its time is over; under a pause its time is the end of the pause, resumed or not."""
    bot = Bot(world)
    bot.look(SUNDAY)
    world.now = SUNDAY + timedelta(hours=1)
    held = bot.pause(timedelta(hours=3))

    def missed_at(now: datetime) -> list[datetime]:
        with world.ledger.read() as tx:
            told = read(tx, SLIPS, bot.place.config, bot.place.now())
        return [one.due_at for one in missed(told, ZoneInfo("UTC"), now)]

    assert missed_at(held.until - timedelta(minutes=1)) == []
    assert missed_at(held.until) == [held.until]
    world.now = SUNDAY + timedelta(hours=3)
    bot.resume()
    assert missed_at(world.now) == [world.now]
