"""A store that fails in the middle of a backup, past its deadline: a clean end, nothing visible; WAL waits and is caught up."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bot.errors import PitstopError, Unavailable
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.postgres.isolated import remove_directory
from bot.postgres.plain import PlainServer
from bot.repository.cluster import ClusterRepository
from bot.repository.examine import examine
from bot.repository.stores.s3 import S3
from jobs.wal.slots import slot_names
from tests.commands import pitstop
from tests.confined import CLONE_NEWNS, MS_PRIVATE, MS_REC, libc
from tests.contract.conftest import s3_config
from tests.contract.faulty import FaultyProxy, Kind, proxied
from tests.contract.servers import moto
from tests.forked import forked
from tests.integration.wal_truth import KEEP, flushed, switch
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.recoveries import RIGHTS
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

SLOW = {"wal_durable_within": '"1s"', "max_rate_kib": "8192"}
OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pitstop dump%' OR query LIKE 'COPY%'"
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096


def fill(server: PlainServer, rows: int) -> None:
    """Make a table that does not compress, so that a backup takes a while and some room."""
    execute(
        server,
        "CREATE TABLE noise AS SELECT g AS n, string_agg(md5(random()::text), '') AS t"
        f" FROM generate_series(1, {rows}) g, generate_series(1, 30) GROUP BY g",
    )
    execute(server, "SELECT pg_switch_wal()")
    execute(server, "CHECKPOINT")


def durable(history: ClusterRepository) -> Lsn:
    """Return how far a repository holds the WAL of timeline 1 without a hole."""
    return max((piece.end for piece in history.wal.ranges() if piece.timeline == 1), default=Lsn(0))


def kept_slot(server: PlainServer) -> Lsn:
    """Return what the slot keeps on the server that nobody streams from."""
    name = slot_names(CLUSTER).durable
    [(lsn,)] = execute(server, f"SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{name}'")
    return Lsn.parse(str(lsn))


def fails_and_recovers(
    server: PlainServer, here: Installation, name: str, job: Job, *, begun: Callable[[], bool],
    spoil: Callable[[], object], heal: Callable[[], object], again: Callable[[], object] = lambda: None,
) -> PitstopError:  # fmt: skip
    """Spoil the repository in the middle of a backup, let it fail, spoil what came free by that, and heal it; return the error."""
    spoiled = threading.Event()

    def spoil_in_the_middle() -> None:
        wait_for(begun, 60, "the middle of the backup")
        spoil()
        spoiled.set()

    with here.receiving() as receiver:
        wait_for(lambda: ready(here, name) and durable(here.repository(name)) >= flushed(server), 60, "the WAL so far")
        before = durable(here.repository(name))
        thread = threading.Thread(target=spoil_in_the_middle)
        thread.start()
        with pytest.raises(PitstopError) as caught:
            here.run(job)
        thread.join()
        assert spoiled.is_set()
        again()
        for _ in range(3):
            switch(server)
        end = flushed(server)
        wait_for(lambda: len(here.spool.names()) >= 3, 60, "spooled segments")
        assert kept_slot(server) <= end
        wait_for(lambda: bool(receiver._note) and "Receiving timeline" not in receiver._note, 60, "a word about it")
        heal()
        assert before <= durable(here.repository(name)) < end, "it was away, and what it had is there"
        assert here.repository(name).backups() == [], "nothing of the failed backup is visible"
        wait_for(lambda: durable(here.repository(name)) >= end, 90, "the WAL that waited")
        [held] = [piece for piece in here.repository(name).wal.ranges() if piece.timeline == 1]
        assert held.start <= before
        assert held.end >= end, "not a byte between is missing"
        made = here.run(job)["id"]
    history = here.repository(name)
    assert [backup.id for backup in history.backups()] == [made]
    history.delete_unfinished(datetime.now(UTC) + timedelta(days=1))
    assert list(examine(history)) == []
    assert history.without_manifest() == []
    wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of its sessions")
    return caught.value


def ready(here: Installation, name: str) -> bool:
    """Say whether the repository has been begun with this cluster."""
    with contextlib.suppress(PitstopError):
        return bool(here.repository_of_all(name).systems(CLUSTER))
    return False


@pytest.mark.parametrize(("job", "size"), [(Job.BASE_BACKUP, "30m"), (Job.DUMP, "20m")])
def test_a_disk_that_fills_up(plain_server: PlainServerFactory, tmp_path: Path, job: Job, size: str) -> None:
    """The repository's disk is full in the middle: the run says so, its space is free again, WAL is spooled and caught up."""
    server = plain_server(16, settings=KEEP)
    fill(server, 60_000)
    here = install(tmp_path / "pitstop", server, SLOW)
    root = here.home / "repository"
    ballast = root / ".ballast"

    def left() -> list[Path]:
        return [path for path in root.rglob("*") if {"volumes", "backups"} & set(path.parts)]

    def fill_up() -> None:
        assert left() == [], "not even a hidden file or an empty folder of the backup is left"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()

    def make_room() -> None:
        ballast.unlink()
        assert remount(root, 0, "size=300m")

    def body() -> None:
        error = fails_and_recovers(
            server, here, "local", job, begun=lambda: True, spoil=lambda: None, again=fill_up, heal=make_room
        )
        assert str(root) in error.message
        assert error.reason_code == "storage-full", error
        assert "`df` shows it" in error.hint

    in_small_file_system(root, size, body)


def test_a_disk_that_is_read_only(plain_server: PlainServerFactory, server_home: Path, tmp_path: Path) -> None:
    """Lists, scrub and restores work on a read-only repository; a backup says which file and what to do; WAL is caught up."""
    server = plain_server(16, settings=KEEP)
    execute(server, "CREATE TABLE kept AS SELECT generate_series(1, 321) AS n")
    top = f'[restore]\ndirectory = "{server_home}/restores"'
    here = install(tmp_path / "pitstop", server, {"wal_durable_within": '"1s"', **RIGHTS}, top)
    root = here.home / "repository"

    def body() -> None:
        with here.receiving():
            wait_for(lambda: ready(here, "local"), 60, "the repository")
            first = here.run(Job.BASE_BACKUP)["id"]
            files = sorted(root.rglob("*"))
            wait_for(lambda: remount(root, MS_RDONLY), 30, "a moment without a writer")
            for job in (Job.BASE_BACKUP, Job.DUMP):
                with pytest.raises(Unavailable) as caught:
                    here.run(job)
                assert caught.value.reason_code == "storage-forbidden"
                assert str(root) in caught.value.message
                assert "Read-only file system" in caught.value.message
            for _ in range(2):
                switch(server)
            end = flushed(server)
            assert [backup.id for backup in here.repository().backups()] == [first]
            assert list(examine(here.repository())) == [], "reading needs no right to write"
            still_usable(here, server_home / "copy")
            assert {path for path in files if path.is_file() and "partial" not in str(path)} <= set(root.rglob("*"))
            assert remount(root, 0)
            wait_for(lambda: durable(here.repository()) >= end, 90, "the WAL that waited")
            here.run(Job.BASE_BACKUP)
        assert len(here.repository().backups()) == 2

    in_small_file_system(root, "200m", body)


def still_usable(here: Installation, copy: Path) -> None:
    """List, scrub and restore a repository that cannot be written, from the command line; a backup ends with exit code 1."""
    for words, code in ((("list", CLUSTER), 0), (("scrub", CLUSTER, "--all"), 0), (("backup", "base", CLUSTER), 1)):
        said = pitstop(*words, "--json", config=here.config_path)
        assert said.code == code, said.out + said.err
    pitr = ("pitr", CLUSTER, "--to", "latest", "--into-directory", str(copy), "--reason", "test", "--json")
    try:
        said = pitstop(*pitr, config=here.config_path)
        assert said.code == 0, said.out + said.err
        with psycopg.connect(said.json["dsn"]) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (321,)
    finally:
        remove_directory(copy)


def remount(folder: Path, flags: int, options: str = "") -> bool:
    """Turn a mount read-only or back, or change its options; False while somebody has a file open for writing."""
    wanted = ctypes.c_ulong(MS_REMOUNT | flags | (0 if options else MS_BIND))
    return bool(libc.mount(None, os.fsencode(folder), None, wanted, options.encode() or None) == 0)


def in_small_file_system(folder: Path, size: str, body: Callable[[], None]) -> None:
    """Run `body` in a process of its own, in which `folder` is a file system of `size`, gone with the process."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir()

    def confined() -> str:
        private, small = ctypes.c_ulong(MS_REC | MS_PRIVATE), f"size={size}".encode()
        alone = libc.unshare(CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, private, None) == 0
        if not alone or libc.mount(b"small", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), small):
            return "no mount namespaces here"
        body()
        return ""

    if why := forked(confined):
        pytest.skip(why)


@pytest.fixture(scope="module")
def server_of_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto's server, with credentials that open nothing else."""
    names = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patch, moto(tmp_path_factory.mktemp("moto")) as url:
        for name, value in {**names, "AWS_CONFIG_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        yield url


@pytest.fixture
def bucket(server_of_s3: str) -> Iterator[tuple[FaultyProxy, str]]:
    """A proxy in front of a bucket of its own, and the bucket's name."""
    name = f"b-{secrets.token_hex(6)}"
    cloud = S3("offsite", s3_config(server_of_s3, bucket=name))
    cloud.call("create_bucket", None)
    cloud.close()
    with proxied(server_of_s3) as proxy:
        yield proxy, name


@pytest.mark.parametrize(
    ("job", "fault"),
    [
        (Job.BASE_BACKUP, "answer"),
        pytest.param(Job.BASE_BACKUP, "reset", marks=pytest.mark.full),
        pytest.param(Job.DUMP, "answer", marks=pytest.mark.full),
        pytest.param(Job.DUMP, "reset", marks=pytest.mark.full),
    ],
)
def test_a_bucket_that_fails_for_good(
    plain_server: PlainServerFactory, tmp_path: Path, bucket: tuple[FaultyProxy, str], job: Job, fault: Kind
) -> None:
    """From some request on every answer is a 500, or none: retried to the deadline, then the run says so; WAL is caught up."""
    proxy, name = bucket
    server = plain_server(16, settings=KEEP)
    fill(server, 24_000)
    top = (
        f'[repositories.offsite]\nurl = "s3://{name}/tests"\nendpoint_url = "{proxy.url}"\nregion = "us-east-1"\n'
        'retry_for = "3s"'
    )
    here = install(tmp_path / "pitstop", server, {**SLOW, "repositories": '["offsite"]'}, top=top)
    tried = 0

    def spoil() -> None:
        nonlocal tried
        tried = proxy.count(".")
        proxy.spoil(".", fault, times=1 << 30, status=500, code="InternalError")

    error = fails_and_recovers(
        server, here, "offsite", job, begun=lambda: proxy.count("^(PUT|POST) .*/volumes/") > 0, spoil=spoil,
        heal=proxy.heal,
    )  # fmt: skip
    assert isinstance(error, Unavailable)
    assert "It was tried" in error.message, error
    assert proxy.count(".") > tried + 3
