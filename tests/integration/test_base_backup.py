"""Base backups of real servers: what is stored, that it restores, and what is refused with which words."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bot.errors import Corruption, PitstopError, Unavailable, Usage
from bot.host.accounts import Account
from bot.host.locks import FileLock
from bot.model.ids import BackupId
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.postgres.plain import PlainServer
from bot.repository.examine import examine
from tests.integration.backups import own, started, unpack, verify_files, verify_pages
from tests.jobs import CLUSTER, install, wait_for
from tests.servers import FAST, PlainServerFactory, execute

pytestmark = pytest.mark.pg


@contextmanager
def writing(server: PlainServer) -> Iterator[None]:
    """Insert, update and delete in `load` while the block lasts."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                turn = 0
                while not stop.is_set():
                    turn += 1
                    connection.execute("INSERT INTO load SELECT g, repeat('x', 200) FROM generate_series(1, 50) g")
                    connection.execute("UPDATE load SET text = text || %s WHERE n %% 7 = %s", ["y", turn % 7])
                    connection.execute("DELETE FROM load WHERE n %% 11 = %s", [turn % 11])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def make_tablespace(server: PlainServer, folder: Path, name: str = "fast") -> None:
    """Create a tablespace in `folder`."""
    folder.mkdir()
    own(server, folder)
    execute(server, f"CREATE TABLESPACE {name} LOCATION '{folder}'")


@pytest.mark.parametrize("major", [15, 16, 18])
def test_a_backup_under_load_restores(
    plain_server: PlainServerFactory, server_home: Path, tmp_path: Path, major: int
) -> None:
    """A backup taken while a load runs, with a tablespace, restores with the stand-alone script and tar alone.

    PostgreSQL's own manifest holds for every file, the server starts and recovers, its pages are sound, and what was
    committed before the backup is there.
    """
    server = plain_server(major)
    make_tablespace(server, server_home / "space")
    execute(server, "CREATE TABLE load (n int, text text)")
    execute(server, "CREATE TABLE before AS SELECT g AS n FROM generate_series(1, 5000) g")
    execute(server, "CREATE TABLE spaced TABLESPACE fast AS SELECT g AS n FROM generate_series(1, 3000) g")
    execute(server, "CREATE INDEX ON before (n)")
    here = install(tmp_path / "pitstop", server)
    with writing(server):
        result = here.run(Job.BASE_BACKUP)
    manifest = here.repository().manifest(BackupId(result["id"]))
    assert [archive.name for archive in manifest.archives][-1] == "backup_manifest"
    assert {archive.location for archive in manifest.archives if archive.tablespace} == {str(server_home / "space")}
    assert result["bytes_read"] > result["bytes_stored"] > 0
    assert execute(server, "SELECT count(*) FROM pg_replication_slots") == [(0,)], "nothing stays on the server"
    home = server_home / "restored"
    home.mkdir()
    data = unpack(here, server, manifest, home)
    verify_files(server, data)
    with started(server, data) as restored:
        assert execute(restored, "SELECT count(*), sum(n) FROM before") == [(5000, 12502500)]
        assert execute(restored, "SELECT count(*) FROM spaced") == [(3000,)]
        assert execute(restored, "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'") == [
            (str(next(home / archive.name for archive in manifest.archives if archive.tablespace)),)
        ]
        if restored.binaries.has("pg_amcheck") and major != 16:
            verify_pages(restored)


def test_the_wal_of_a_backup_is_in_the_same_repository(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Without a receiver the job brings the WAL from start to end itself, and the manifest exists only with it."""
    server = plain_server(18)
    here = install(tmp_path / "pitstop", server)
    result = here.run(Job.BASE_BACKUP)
    start, end = Lsn.parse(result["start_lsn"]), Lsn.parse(result["end_lsn"])
    assert any(piece.start <= start and end <= piece.end for piece in here.repository().wal.ranges())
    assert list(examine(here.repository())) == []
    log = server.log.read_text("utf-8")
    assert "unexpected EOF" not in log, "its streams end in order"


def test_no_manifest_without_its_wal(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A receiver that ends before it shipped the backup's WAL: no manifest is written, the run says why, and nothing stays."""
    server = plain_server(16)
    here = install(tmp_path / "pitstop", server)
    here.spool.create()
    lock = FileLock(here.spool.lock_path)
    assert lock.acquire()

    def end_after_the_copy() -> None:
        copied = "*/*/volumes/*/backup_manifest/000000"
        wait_for(lambda: any((here.home / "repository").glob(copied)), 60, "the copy")
        lock.release()

    thread = threading.Thread(target=end_after_the_copy)
    thread.start()
    with pytest.raises(Unavailable) as caught:
        here.run(Job.BASE_BACKUP)
    thread.join()
    assert caught.value.reason_code == "wal-not-durable"
    assert here.repository().backups() == []
    assert not list((here.home / "repository").glob("*/*/*/*-base-*"))


def test_a_failing_archive_command_does_not_hold_a_backup_up(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """With archiving on and failing for ever, the backup is taken all the same: it does not wait for the archive."""
    server = plain_server(15, settings={"archive_mode": "on", "archive_command": "false"})
    assert install(tmp_path / "pitstop", server).run(Job.BASE_BACKUP)["id"]


def test_the_catalogue_comes_from_the_repository_alone(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """With ledger and spool gone, another installation with the key sees the same backups, WAL and facts."""
    server = plain_server(16)
    here = install(tmp_path / "pitstop", server)
    results = {result["id"]: result for result in (here.run(Job.BASE_BACKUP) for _ in range(2))}
    made, wanted = list(results), here.repository().backups()
    assert [round(one.seconds, 3) for one in wanted] == [results[one.id]["seconds"] for one in wanted], "told alike"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("key", "repository"):
        shutil.move(here.home / name, elsewhere / name)
    there = install(elsewhere, "host=/nowhere")
    assert there.repository().backups() == wanted
    assert [backup.id for backup in wanted] == sorted(made)
    assert there.repository().manifest(wanted[0].id).sha256 == wanted[0].manifest_sha256


def test_configuration_outside_the_data_directory(
    plain_server: PlainServerFactory, server_user: Account, server_home: Path, tmp_path: Path
) -> None:
    """Debian's layout: configuration elsewhere, with includes, not all UTF-8: all of it is stored, and said to be outside."""
    first = plain_server(15)
    first.stop("fast")
    data, etc = first.data_directory, server_home / "etc"
    (etc / "conf.d").mkdir(parents=True)
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        shutil.move(data / name, etc / name)
    with (etc / "postgresql.conf").open("ab") as file:
        file.write(
            f"# f\xfcr uns\nhba_file = '{etc}/pg_hba.conf'\nident_file = '{etc}/pg_ident.conf'\n"
            f"include_dir = 'conf.d'\ninclude_if_exists = '{data}/pitstop.conf'\n".encode("latin-1")
        )
    (etc / "conf.d/10-shop.conf").write_text("work_mem = 7MB\ninclude 'more.inc'\n")
    (etc / "conf.d/more.inc").write_text("application_name = 'caf\xe9'\n", "latin-1")
    (etc / "conf.d/ignored.txt").write_text("work_mem = 9MB\n")
    own(first, etc)
    (data / "postgresql.conf").write_text(f"include '{etc}/postgresql.conf'\n")
    own(first, data / "postgresql.conf")
    server = PlainServer.start(
        first.binaries, data, server_user, socket_dir=first.socket_dir, settings=FAST, log=server_home / "log"
    )
    try:
        here = install(tmp_path / "pitstop", server)
        result = here.run(Job.BASE_BACKUP)
        facts = here.repository().manifest(BackupId(result["id"])).body["server_facts"]
    finally:
        server.stop("immediate")
    files = {Path(file["path"]).name: file for file in facts["config_files"]}
    assert facts["config_missing"] is None
    assert {"postgresql.conf", "pg_hba.conf", "pg_ident.conf", "10-shop.conf", "more.inc"} <= set(files)
    assert "ignored.txt" not in files
    assert files["10-shop.conf"]["text"].startswith("work_mem = 7MB")
    assert files["more.inc"]["text"].encode("utf-8", "surrogateescape") == "application_name = 'caf\xe9'\n".encode(
        "latin-1"
    )
    assert not files["pg_hba.conf"]["inside"]
    assert files["pg_hba.conf"]["kind"] == "hba"


def test_what_is_stored_of_the_server(plain_server: PlainServerFactory, server_home: Path, tmp_path: Path) -> None:
    """Everything a restore asks for without the server is in the manifest."""
    server = plain_server(18, settings={"work_mem": "7MB"})
    make_tablespace(server, server_home / "space")
    execute(server, 'CREATE DATABASE "Größe; DROP"')
    here = install(tmp_path / "pitstop", server)
    result = here.run(Job.BASE_BACKUP)
    facts = here.repository().manifest(BackupId(result["id"])).body["server_facts"]
    assert facts["settings"]["work_mem"] == "7MB"
    assert facts["version_num"] // 10000 == 18
    assert facts["segment_bytes"] == 16 << 20
    assert facts["bootstrap_superuser"] == "postgres"
    assert facts["data_checksums"] is True
    assert facts["data_directory"] == str(server.data_directory)
    assert "Größe; DROP" in [database["name"] for database in facts["databases"]]
    assert {database["provider"] for database in facts["databases"]}
    assert {"database": "postgres", "name": "plpgsql", "version": "1.0"} in facts["extensions"]
    assert [(space["name"], space["location"]) for space in facts["tablespaces"]] == [
        ("fast", str(server_home / "space"))
    ]
    assert facts["hba_rules"][0]["auth_method"] == "trust"
    assert "PostgreSQL 18" in facts["operating_system"]
    assert facts["unread"] == []


@pytest.mark.parametrize("major", [15, 18])
def test_a_replication_role_without_other_rights(plain_server: PlainServerFactory, tmp_path: Path, major: int) -> None:
    """LOGIN REPLICATION and a password are enough for a backup; what the role may not read is said."""
    server = plain_server(major)
    execute(server, "CREATE ROLE stream LOGIN REPLICATION PASSWORD 'se cret'")
    hba = server.data_directory / "pg_hba.conf"
    hba.write_text("local all postgres trust\nlocal all all scram-sha-256\nlocal replication all scram-sha-256\n")
    execute(server, "SELECT pg_reload_conf()")
    dsn = f"host={server.socket_dir} port={server.port} user=stream dbname=postgres"
    wrong = install(tmp_path / "wrong", f"{dsn} password=wrong")
    with pytest.raises(Usage) as caught:
        wrong.run(Job.BASE_BACKUP)
    assert caught.value.reason_code == "password"
    assert "wrong" not in caught.value.message, "a password is never shown"
    here = install(tmp_path / "pitstop", f"{dsn} password='se cret'")
    result = here.run(Job.BASE_BACKUP)
    facts = here.repository().manifest(BackupId(result["id"])).body["server_facts"]
    assert facts["config_missing"]
    assert facts["unread"] == ["pg_hba_file_rules was not read: the role lacks EXECUTE on pg_hba_file_rules()."]
    with here.receiving():
        assert here.run(Job.BASE_BACKUP)["id"]


@pytest.mark.parametrize(
    ("role", "hba", "code"),
    [
        ("LOGIN", "local replication all trust", "not-replication"),
        ("LOGIN REPLICATION", "local replication postgres trust", "hba-replication"),
    ],
)
def test_missing_rights_are_told_with_the_line(
    plain_server: PlainServerFactory, tmp_path: Path, role: str, hba: str, code: str
) -> None:
    """A role without REPLICATION, or its line in pg_hba.conf, is refused with the line to put right; nothing is stored."""
    server = plain_server(16)
    execute(server, f"CREATE ROLE poor {role}")
    (server.data_directory / "pg_hba.conf").write_text(f"local all all trust\n{hba}\n")
    execute(server, "SELECT pg_reload_conf()")
    here = install(tmp_path / "pitstop", f"host={server.socket_dir} user=poor dbname=postgres")
    with pytest.raises(Usage) as caught:
        here.run(Job.BASE_BACKUP)
    assert caught.value.reason_code == code
    assert "poor" in caught.value.hint
    assert not (here.home / "repository").exists()


def test_wal_level_minimal_is_told_with_the_line(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A server whose WAL is not enough for backups is refused with the setting to change."""
    server = plain_server(15, settings={"wal_level": "minimal", "max_wal_senders": "0"})
    with pytest.raises(PitstopError) as caught:
        install(tmp_path / "pitstop", server).run(Job.BASE_BACKUP)
    assert caught.value.hint
    assert "max_wal_senders" in caught.value.hint or "wal_level" in caught.value.hint


@pytest.mark.parametrize("major", [15, 16, 18])
def test_a_corrupt_page(plain_server: PlainServerFactory, tmp_path: Path, major: int) -> None:
    """A page with a wrong checksum: the backup is kept, marked damaged with file and block, and the run fails as corruption."""
    server = plain_server(major, options=["--data-checksums"])
    execute(server, "CREATE TABLE t AS SELECT g AS n, repeat('x', 500) AS x FROM generate_series(1, 500) g")
    execute(server, "CHECKPOINT")
    here = install(tmp_path / "pitstop", server)
    clean = here.run(Job.BASE_BACKUP)["id"]
    [(path,)] = execute(server, "SELECT pg_relation_filepath('t')")
    with (server.data_directory / str(path)).open("r+b") as file:
        file.seek(3 * 8192 + 4000)
        file.write(b"rotten")
    with pytest.raises(Corruption) as caught:
        here.run(Job.BASE_BACKUP)
    assert caught.value.reason_code == "damaged-pages"
    assert caught.value.exit_code == 4
    assert f"{path} block 3" in caught.value.message
    # Two backups of one second are in no order.
    first, second = sorted(here.repository().backups(), key=lambda backup: backup.id != clean)
    assert (first.id, first.damaged) == (clean, None)
    assert second.damaged is not None
    assert f"{path} block 3" in second.damaged
    assert here.repository().manifest(second.id).body["damage"] == [f"{path} block 3"]
    assert list(examine(here.repository())) == [], "what was sent is stored as it was sent"


def test_a_server_killed_in_the_middle(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """The server dies while it sends: the run fails as unavailable, nothing of the backup stays, and the next one works."""
    server = plain_server(18)
    execute(server, "CREATE TABLE t AS SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 100000) g")
    here = install(tmp_path / "pitstop", server, {"max_rate_kib": "8192"})

    def stop_when_copying() -> None:
        wait_for(lambda: any((here.home / "repository").glob("*/*/volumes/*/base/.*")), what="the copy")
        server.stop("immediate")

    thread = threading.Thread(target=stop_when_copying)
    thread.start()
    with pytest.raises(PitstopError) as caught:
        here.run(Job.BASE_BACKUP)
    thread.join()
    assert caught.value.reason_code in {"server-gone", "server-stopping"}
    assert here.repository().backups() == []
    assert here.repository().without_manifest() == []


def test_leftovers_are_deleted_later_and_never_a_live_one(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """What a killed backup left is deleted by the first backup that begins six hours later; younger ones and whole ones stay."""
    server = plain_server(16)
    here = install(tmp_path / "pitstop", server)
    whole = here.run(Job.BASE_BACKUP)["id"]
    cluster = here.repository()
    now = datetime.now(UTC)
    for name, age in (
        ("20250101T000000Z-base-0000", timedelta(hours=7)),
        (f"{now:%Y%m%dT%H%M%SZ}-base-0001", timedelta(0)),
    ):
        writer = cluster.begin(BackupId(name))
        archive = writer.archive("base", tar=False)
        archive.write(b"x" * 100)
        archive.close()
        writer.pipeline.close()
        for path in (here.home / "repository").rglob(f"{name}/*/*"):
            os.utime(path, ((now - age).timestamp(),) * 2)
    # Old by its name, but written to a moment ago: another installation's slow backup.
    slow = cluster.begin(BackupId("20250101T000000Z-base-0002"))
    archive = slow.archive("base", tar=False)
    archive.write(b"x")
    archive.close()
    second = here.run(Job.BASE_BACKUP)["id"]
    folders = {path.name for path in (here.home / "repository").glob("*/*/*/*-base-*")}
    assert folders == {whole, second, f"{now:%Y%m%dT%H%M%SZ}-base-0001", "20250101T000000Z-base-0002"}
    slow.abandon()


def test_a_wrong_key_is_told_before_anything_is_read(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Another key than the repository's, a missing one, and one that others can read: each refused by name, nothing is written."""
    server = plain_server(16)
    here = install(tmp_path / "pitstop", server)
    here.run(Job.BASE_BACKUP)
    before = sorted(str(path) for path in (here.home / "repository").rglob("*"))
    key, kept = here.home / "key", here.home / "kept"
    key.rename(kept)
    with pytest.raises(Usage) as caught:
        here.run(Job.BASE_BACKUP)
    assert caught.value.reason_code == "key-missing"
    install(here.home, server)
    with pytest.raises(Usage) as caught:
        here.run(Job.BASE_BACKUP)
    assert caught.value.reason_code == "wrong-key"
    kept.replace(key)
    key.chmod(0o644)
    with pytest.raises(Usage) as caught:
        here.run(Job.BASE_BACKUP)
    assert (caught.value.reason_code, caught.value.hint) == ("key-not-private", f"chmod 600 {key}")
    assert sorted(str(path) for path in (here.home / "repository").rglob("*")) == before
    key.chmod(0o600)
    assert here.run(Job.BASE_BACKUP)["id"]


def test_two_clusters_under_one_name(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Two servers backed up under one name into one path are kept apart by their system identifiers: neither sees the other's."""
    one, two = plain_server(16), plain_server(18)
    here = install(tmp_path / "pitstop", one)
    first = here.run(Job.BASE_BACKUP)["id"]
    there = install(here.home, two)
    second = there.run(Job.BASE_BACKUP)["id"]
    opened = here.repository_of_all()
    kept = {system: [b.id for b in opened.cluster(CLUSTER, system).backups()] for system in opened.systems(CLUSTER)}
    assert sorted(kept.values()) == sorted([[first], [second]])
