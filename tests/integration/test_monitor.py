"""The monitor against real servers, disks and repositories: each condition is made, told once, and over when its cause is gone."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot import desk
from bot.attention import note_repositories
from bot.errors import Corruption, PitstopError
from bot.ledger import Ledger, alerts, catalogue, pauses
from bot.ledger import schedule as memory
from bot.model.alerts import Alert, AlertState, Severity
from bot.model.callers import Caller
from bot.model.pauses import Pause
from bot.model.people import Person
from bot.model.runs import Job
from bot.model.wal import Lsn, segment_name
from bot.postgres.plain import PlainServer
from bot.process.place import Place
from jobs.catalogue import renew_catalogue
from jobs.context import utc_now
from jobs.monitor import Monitor
from jobs.wal.slots import slot_names
from tests.integration.wal_truth import KEEP, flushed, switch, wait_durable
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

TIGHT = {"max_slot_wal_keep_size": "16MB", "wal_keep_size": "0", "max_wal_size": "32MB", "min_wal_size": "32MB"}
NOBODY = "host=/nowhere user=nobody"


@dataclass
class Watch:
    """A monitor whose clock can be set forward, and what its alerts say."""

    here: Installation
    ahead: timedelta = timedelta()
    monitor: Monitor = field(init=False)

    def __post_init__(self) -> None:
        """Make the monitor."""
        self.monitor = Monitor(self.here.config, self.here.ledger, self.now)

    def now(self) -> datetime:
        """Return the time, set forward."""
        return utc_now() + self.ahead

    def later(self, **delta: float) -> None:
        """Set the clock forward."""
        self.ahead += timedelta(**delta)

    def sees(self, condition: str, subject: str = "", cluster: str = CLUSTER) -> tuple[AlertState, Severity] | None:
        """Look, and return how the alert of a condition stands; None when it never held."""
        self.monitor.look()
        found = alert_of(self.here.ledger, condition, subject, cluster)
        return (found.state, found.concern.severity) if found else None


def alert_of(ledger: Ledger, condition: str, subject: str = "", cluster: str = CLUSTER) -> Alert | None:
    """Return the alert of a condition, or None."""
    with ledger.read() as tx:
        return alerts.find(tx, condition, cluster, subject)


WARN, PAGE = (AlertState.OPEN, Severity.WARN), (AlertState.OPEN, Severity.PAGE)


def over(standing: tuple[AlertState, Severity] | None) -> bool:
    """Say whether an alert was raised and is over."""
    return standing is not None and standing[0] is AlertState.RESOLVED


def scheduled(here: Installation, *jobs: Job, ago: timedelta = timedelta()) -> None:
    """Let jobs count as scheduled since some time ago."""
    with here.ledger.transaction() as tx:
        for job in jobs:
            memory.counted_since(tx, job, CLUSTER, utc_now() - ago)


def test_a_server_that_is_down_says_so_and_hides_nothing_else(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Stopped, it is told within one look, and what was known of its slots stays; started again, both are over."""
    server = plain_server(18)
    watch = Watch(install(tmp_path / "pitstop", server))
    keep = slot_names(CLUSTER).durable
    assert watch.sees("slot", keep) is None
    watch.later(seconds=61)
    assert watch.sees("slot", keep) == WARN
    server.stop("fast")
    assert watch.sees("server-down") == WARN
    assert watch.sees("slot", keep) == WARN
    again = PlainServer.start(
        server.binaries,
        server.data_directory,
        server.account,
        socket_dir=server.socket_dir,
        settings={},
        log=tmp_path / "log",
    )
    try:
        for name in (keep, slot_names(CLUSTER).stream):
            execute(again, f"SELECT pg_create_physical_replication_slot('{name}', true)")
        assert over(watch.sees("server-down"))
        assert over(watch.sees("slot", keep))
    finally:
        again.stop("immediate")


def test_a_slot_the_server_gives_up_pages(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Made anew after it was lost, the slot is fine again; one of somebody else that keeps much WAL is named to be dropped."""
    server = plain_server(16, settings=TIGHT)
    watch = Watch(
        install(tmp_path / "pitstop", server, {"alerts": "{ slot_retained_bytes = 1000, slot_safe_bytes = 1 }"})
    )
    stream, keep = slot_names(CLUSTER).stream, slot_names(CLUSTER).durable
    for name in (stream, keep):
        execute(server, f"SELECT pg_create_physical_replication_slot('{name}', true)")
    assert watch.sees("slot", keep) in {None, WARN}
    watch.later(seconds=61)
    for _ in range(6):
        switch(server)
    execute(server, "CHECKPOINT")
    assert watch.sees("slot", keep) == PAGE
    for name in (stream, keep):
        execute(server, f"SELECT pg_drop_replication_slot('{name}')")
        execute(server, f"SELECT pg_create_physical_replication_slot('{name}', true)")
    assert over(watch.sees("slot", keep))
    execute(server, "SELECT pg_create_physical_replication_slot('forgotten', true)")
    switch(server)
    assert watch.sees("slot", "forgotten") == WARN
    found = alert_of(watch.here.ledger, "slot", "forgotten")
    assert found is not None
    assert "pg_drop_replication_slot('forgotten')" in found.concern.fix
    execute(server, "SELECT pg_drop_replication_slot('forgotten')")
    assert over(watch.sees("slot", "forgotten"))


def test_a_slot_that_will_soon_be_given_up(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Where little may be written before the server drops the slot it is told beforehand; with more room there it is over."""
    server = plain_server(18, settings={"max_slot_wal_keep_size": "64MB"})
    watch = Watch(install(tmp_path / "pitstop", server))
    stream, keep = slot_names(CLUSTER).stream, slot_names(CLUSTER).durable
    for name in (stream, keep):
        execute(server, f"SELECT pg_create_physical_replication_slot('{name}', true)")
    watch.sees("slot", keep)
    watch.later(seconds=61)
    switch(server)
    assert watch.sees("slot", keep) == WARN
    found = alert_of(watch.here.ledger, "slot", keep)
    assert found is not None
    assert "gives the slot" in found.concern.sentence
    execute(server, "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'")
    execute(server, "SELECT pg_reload_conf()")
    wait_for(lambda: over(watch.sees("slot", keep)), what="the reload")


def test_wal_nobody_receives(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Without a receiver for a minute it is told; past the target it warns, past the maximum it pages; then all ends."""
    server = plain_server(18, settings=KEEP)
    here = install(tmp_path / "pitstop", server, {"wal_durable_within": '"1s"'})
    watch = Watch(here)
    assert watch.sees("receiver-down") is None
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        wait_durable(here, flushed(server))
        wait_for(lambda: covered(here), what="a time by which all is durable")
        watch.later(minutes=2)
        assert watch.sees("receiver-down") is None
    assert watch.sees("receiver-down") is None
    watch.later(seconds=61)
    assert watch.sees("receiver-down") == WARN
    execute(server, "CREATE TABLE lost AS SELECT generate_series(1, 10000)")
    assert watch.sees("wal-lag", "local") is None
    watch.later(hours=2)
    assert watch.sees("wal-lag", "local") == WARN
    watch.later(hours=3)
    assert watch.sees("wal-lag", "local") == PAGE
    watch.ahead = timedelta(0)
    with here.receiving():
        wait_durable(here, flushed(server))
        wait_for(lambda: over(watch.sees("wal-lag", "local")), what="the lag's end")
        watch.later(minutes=2)
        assert over(watch.sees("receiver-down"))


def covered(here: Installation) -> bool:
    """Say whether the receiver has told by when all is durable."""
    with here.ledger.read() as tx:
        return any(row["covered_until"] for row in tx.query("SELECT covered_until FROM wal_status"))


def test_a_hole_that_is_known_alarms_no_more(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A lost segment pages; acknowledged it stays quiet look after look, whatever the checks say; found again, it is over."""
    server = plain_server(16, settings=KEEP)
    here = install(tmp_path / "pitstop", server, {"wal_durable_within": '"1s"'})
    watch = Watch(here)
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        for _ in range(3):
            switch(server)
        wait_durable(here, flushed(server))
    [first, *_] = here.repository().backups()
    number = first.start_lsn // (16 << 20) + 1
    [segment] = (here.home / "repository").rglob(segment_name(1, number))
    shutil.move(segment, tmp_path / "segment")
    here.run(Job.WAL_CHECK)
    subject = f"local {Lsn(number * (16 << 20))}"
    assert watch.sees("wal-gap", subject) == PAGE
    found = alert_of(here.ledger, "wal-gap", subject)
    assert found is not None
    policy = here.config.clusters[CLUSTER].policy
    root = Caller(by=Person("host", "root"), policy=policy, key="k", at=utc_now(), entropy=bytes(8))
    desk.acknowledge_alert(here.ledger, root, found.id)
    here.run(Job.WAL_CHECK)
    for _ in range(3):
        assert watch.sees("wal-gap", subject) == (AlertState.ACKNOWLEDGED, Severity.PAGE)
        watch.later(days=1)
    shutil.move(tmp_path / "segment", segment)
    here.run(Job.WAL_CHECK)
    assert over(watch.sees("wal-gap", subject))


def test_backups_old_damaged_and_of_a_strange_size(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Each is told by the next look, and over after a backup as it should be."""
    server = plain_server(18, settings=KEEP)
    here = install(tmp_path / "pitstop", server)
    watch = Watch(here)
    scheduled(here, Job.BASE_BACKUP)
    assert watch.sees("backup-age", "base") is None
    here.run(Job.BASE_BACKUP)
    watch.later(hours=25)
    assert watch.sees("backup-age", "base") == WARN
    watch.later(hours=24)
    assert watch.sees("backup-age", "base") == PAGE
    watch.ahead = timedelta()
    age_by(here, timedelta(hours=25))
    assert watch.sees("backup-age", "base") == WARN
    here.run(Job.BASE_BACKUP)
    assert over(watch.sees("backup-age", "base"))
    corrupt(server)
    with pytest.raises(Corruption):
        here.run(Job.BASE_BACKUP)
    assert watch.sees("backup-damaged", "base") == PAGE
    execute(server, "DROP TABLE broken")
    here.run(Job.BASE_BACKUP)
    assert over(watch.sees("backup-damaged", "base"))
    assert watch.sees("backup-size", "base") is None
    execute(server, "CREATE TABLE big AS SELECT n, repeat('x', 1000) FROM generate_series(1, 60000) n")
    here.run(Job.BASE_BACKUP)
    assert watch.sees("backup-size", "base") == WARN
    execute(server, "DROP TABLE big")
    execute(server, "CHECKPOINT")
    here.run(Job.BASE_BACKUP)
    assert over(watch.sees("backup-size", "base"))
    floor = Watch(changed(here, "min_backup_bytes", 10**12))
    assert floor.sees("backup-size", "base") == PAGE
    assert over(watch.sees("backup-size", "base"))


def changed(here: Installation, name: str, value: object) -> Installation:
    """Return an installation with another threshold."""
    cluster = here.config.clusters[CLUSTER]
    limits = cluster.alerts.model_copy(update={name: value})
    clusters = {CLUSTER: cluster.model_copy(update={"alerts": limits})}
    return replace(here, config=here.config.model_copy(update={"clusters": clusters}))


def age_by(here: Installation, age: timedelta) -> None:
    """Make the backups known to the ledger older."""
    with here.ledger.transaction() as tx:
        found = catalogue.list(tx, CLUSTER)
        aged = [replace(b, started_at=b.started_at - age, finished_at=b.finished_at - age) for b in found]
        catalogue.replace(tx, CLUSTER, "local", aged)


def corrupt(server: PlainServer) -> None:
    """Flip bytes in a table's file under the server."""
    execute(server, "CREATE TABLE broken AS SELECT generate_series(1, 5000)")
    execute(server, "CHECKPOINT")
    [(path,)] = execute(server, "SELECT pg_relation_filepath('broken')")
    [(data,)] = execute(server, "SHOW data_directory")
    with Path(str(data), str(path)).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"\xde\xad\xbe\xef" * 8)
        os.fsync(file.fileno())


def test_a_missed_schedule_is_told_until_it_ran(tmp_path: Path) -> None:
    """An hourly check that nobody queued for hours is told once, through the hours; the next one that runs ends it."""
    here = install(tmp_path / "pitstop", NOBODY)
    watch = Watch(here)
    scheduled(here, Job.WAL_CHECK, ago=timedelta(hours=3))
    assert watch.sees("schedule-missed", "wal-check") == WARN
    watch.later(hours=1)
    assert watch.sees("schedule-missed", "wal-check") == WARN
    watch.ahead = timedelta()
    run = desk.queue_run(
        here.ledger,
        job=Job.WAL_CHECK,
        cluster=CLUSTER,
        args={},
        by="pitstop",
        at=utc_now(),
        entropy=os.urandom(8),
        scheduled_for=f"{utc_now():%Y-%m-%dT%H:00Z}",
    )
    assert over(watch.sees("schedule-missed", "wal-check"))
    watch.later(minutes=16)
    assert watch.sees("schedule-missed", "wal-check") == WARN
    desk.start_run(here.ledger, run.id, utc_now())
    watch.later(minutes=-16)
    assert over(watch.sees("schedule-missed", "wal-check"))


def test_a_pause_is_no_missed_schedule(tmp_path: Path) -> None:
    """What a pause holds back is not missed while it lasts, nor right after; a quarter of an hour after its end it is."""
    here = install(tmp_path / "pitstop", NOBODY, {"schedule": '{ dump = "* * * * *" }'})
    watch = Watch(here)
    scheduled(here, Job.DUMP, ago=timedelta(minutes=10))
    start = utc_now() - timedelta(minutes=20)
    pause = Pause("p1", CLUSTER, Person("host", "root"), "root", start, utc_now() + timedelta(hours=2))
    with here.ledger.transaction() as tx:
        pauses.insert(tx, pause)
    for hours in (0, 1, 1.1):
        watch.later(hours=hours)
        assert watch.sees("schedule-missed", "dump") is None
    watch.later(minutes=20)
    assert watch.sees("schedule-missed", "dump") == WARN


def test_drills_too_long_ago_too_often_bad_and_too_slow(tmp_path: Path) -> None:
    """Age, success rate and the time a restore takes are told from the drills that ran, and end with better ones."""
    here = install(tmp_path / "pitstop", NOBODY)
    watch = Watch(here)
    scheduled(here, Job.DRILL, ago=timedelta(days=10))
    assert watch.sees("drill-age") == WARN
    drilled(here, ok=True, seconds=5 * 3600)
    assert over(watch.sees("drill-age"))
    assert watch.sees("rto") == WARN
    drilled(here, ok=True, seconds=9 * 3600)
    assert watch.sees("rto") == PAGE
    drilled(here, ok=True, seconds=60)
    assert over(watch.sees("rto"))
    for _ in range(2):
        drilled(here, ok=False, seconds=60)
    assert watch.sees("drill-rate") == WARN
    assert alert_of(here.ledger, "run-failed", "drill") is not None
    for _ in range(8):
        drilled(here, ok=True, seconds=60)
    assert over(watch.sees("drill-rate"))
    failed = alert_of(here.ledger, "run-failed", "drill")
    assert failed is not None
    assert (failed.state, failed.concern.severity) == (AlertState.RESOLVED, Severity.PAGE)


def test_a_drill_of_an_older_backup_says_nothing_of_the_newest(tmp_path: Path) -> None:
    """Proving an older backup, or an old file, ends neither the alert of the weekly drill's age nor that of its failure."""
    here = install(tmp_path / "pitstop", NOBODY)
    watch = Watch(here)
    scheduled(here, Job.DRILL, ago=timedelta(days=10))
    drilled(here, ok=False, seconds=60)
    assert watch.sees("drill-age") == WARN
    older = "20260101T020000Z-dump-7f3a"
    for named, newest in ((older, False), ("shop.backup.gz.enc", False)):
        drilled(here, ok=True, seconds=60, backup=named, newest=newest)
        assert watch.sees("drill-age") == WARN
    drilled(here, ok=False, seconds=60, backup="cut.backup.gz.enc", newest=False)
    failed = alert_of(here.ledger, "run-failed", "drill")
    assert failed is not None
    assert (failed.state, "cut" in failed.concern.sentence) == (AlertState.OPEN, False)
    drilled(here, ok=True, seconds=60, backup=older, newest=True)
    assert over(watch.sees("drill-age"))
    ended = alert_of(here.ledger, "run-failed", "drill")
    assert ended is not None
    assert ended.state is AlertState.RESOLVED


def drilled(here: Installation, *, ok: bool, seconds: float, backup: str = "", newest: bool | None = None) -> None:
    """Let a drill come to its end, of the newest or of `backup`."""
    run = desk.start_run(here.ledger, here.queue(Job.DRILL, **({"backup": backup} if backup else {})).id, utc_now())
    proofs = (
        [{"backup": backup, "kind": "dump", "verified": ok, "newest": newest, "seconds": seconds}] if backup else []
    )
    desk.finish_run(here.ledger, run.id, {"ok": ok, "seconds": seconds, "proofs": proofs}, utc_now())


def test_disks_that_are_full_or_will_be(tmp_path: Path) -> None:
    """A disk below its share is told, a third of that pages; one that fills up is told before it is full."""
    here = install(tmp_path / "pitstop", NOBODY)
    watch = Watch(here)
    watch.monitor.look()
    assert watch.monitor.sight is not None
    names = [room.name for room in watch.monitor.sight.rooms]
    assert set(", ".join(names).split(", ")) == {"ledger", "spool", "restores", "repository local"}
    [room] = [room for room in watch.monitor.sight.rooms if room.name.startswith("ledger")]
    share = room.free_bytes / room.total_bytes
    for least, wanted in ((share * 1.5, WARN), (min(share * 3.6, 0.999), PAGE)):
        if least * 0.3 > share or wanted == WARN:
            assert Watch(limited(here, "disk_free", min(least, 0.999))).sees("disk", room.name, "") == wanted
    assert Watch(limited(here, "disk_free", 0.0)).sees("disk", room.name, "") is not None
    assert over(Watch(limited(here, "disk_free", 0.0)).sees("disk", room.name, ""))
    used = room.total_bytes - room.free_bytes
    with here.ledger.transaction() as tx:
        tx.execute("DELETE FROM samples")
        for hour in range(24):
            at = utc_now() - timedelta(hours=24 - hour)
            alerts.sample(tx, room.name, at, used - room.free_bytes * (24 - hour) // 40, since=at - timedelta(days=1))
    filling = Watch(limited(here, "disk_free", 0.0))
    assert filling.sees("disk", room.name, "") == WARN
    with here.ledger.transaction() as tx:
        tx.execute("DELETE FROM samples")
    assert over(filling.sees("disk", room.name, ""))


def limited(here: Installation, name: str, value: object) -> Installation:
    """Return an installation with another limit for the host."""
    monitor = here.config.monitor.model_copy(update={name: value})
    return replace(here, config=here.config.model_copy(update={"monitor": monitor}))


def test_a_repository_that_cannot_be_used(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Before its first use a missing one is nothing; used and gone it is told with what to do, and over when it is back."""
    server = plain_server(18, settings=KEEP)
    here = install(tmp_path / "pitstop", server)
    place = Place(here.config, here.config_path, here.ledger)
    renew(place)
    assert alert_of(here.ledger, "repository-away") is None
    here.run(Job.BASE_BACKUP)
    renew(place)
    (here.home / "repository").rename(here.home / "unmounted")
    renew(place)
    found = alert_of(here.ledger, "repository-away")
    assert found is not None
    assert (found.state, bool(found.concern.fix)) == (AlertState.OPEN, True)
    (here.home / "unmounted").rename(here.home / "repository")
    renew(place)
    assert over((alert.state, alert.concern.severity) if (alert := alert_of(here.ledger, "repository-away")) else None)


def renew(place: Place) -> None:
    """Renew the catalogue as the leader does."""
    try:
        renew_catalogue(place.config, place.ledger, CLUSTER)
    except PitstopError as error:
        note_repositories(place, CLUSTER, error)
    else:
        note_repositories(place, CLUSTER, None)


def test_a_cluster_that_is_gone_from_the_configuration_alarms_no_more(tmp_path: Path) -> None:
    """What was open about it ends at the next look; the host's own alerts and other clusters' stay."""
    here = install(tmp_path / "pitstop", NOBODY)
    watch = Watch(here)
    assert watch.sees("server-down") == WARN
    other = {"other": here.config.clusters[CLUSTER]}
    elsewhere = Watch(replace(here, config=here.config.model_copy(update={"clusters": other})))
    assert over(elsewhere.sees("server-down"))
    assert elsewhere.sees("server-down", cluster="other") == WARN
