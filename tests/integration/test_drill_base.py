"""Drills of base backups and WAL: what passes, and that every kind of planted damage is caught and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from bot.errors import Corruption
from bot.model.runs import Job
from tests.integration.drills import drilled, flip, left_behind, noes, points, shop
from tests.jobs import Installation, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


def test_a_sound_backup_passes_and_is_verified(server_home: Path, plain_server: PlainServerFactory) -> None:
    """The newest base backup and its WAL pass every point, canaries included; the backup is verified and nothing stays."""
    server = plain_server(18)
    here = shop(
        server_home / "p",
        server,
        {"drill": "{ canary = true, latest = { postgres = 'SELECT max(placed) FROM \"Orders\"' } }"},
    )
    with here.receiving():
        backup = here.run(Job.BASE_BACKUP)["id"]
        execute(server, 'INSERT INTO "Orders" VALUES (9001, 7)')
        result = drilled(here)
    [proof] = result["proofs"]
    assert not noes(proof)
    assert (result["ok"], result["damaged"], proof["backup"], proof["newest"]) == (True, False, backup, True)
    answers = points(proof)
    for question in ("not corrupted", "canaries", "latest records included", "foreign keys intact", "page checksums"):
        assert answers[question][0] is True, answers[question]
    assert answers["indexes present and sound"][0] is True
    assert ["postgres", "public", "Orders", 1501] in proof["tables"]
    [summary] = here.repository().backups()
    assert summary.verified_at is not None
    assert left_behind(here) == []


def test_a_missing_segment_is_named(server_home: Path, plain_server: PlainServerFactory) -> None:
    """A segment deleted from everywhere is named, the copy is recovered to before it, and the canary beyond it is missed."""
    server = plain_server(18)
    here = shop(server_home / "p", server, {"drill": "{ canary = true }"})
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        names = []
        for number in range(3):
            execute(server, f'INSERT INTO "Orders" VALUES ({9000 + number}, 7)')
            names.append(str(execute(server, "SELECT pg_walfile_name(pg_switch_wal())")[0][0]))
        wait_for(lambda: stored(here, names[2]), what="the shipping")
        lost = names[1]
        for path in [path for path in here.home.rglob(f"{lost}*") if path.is_file()]:
            path.unlink()
        result = drilled(here)
    [proof] = result["proofs"]
    assert lost in noes(proof)["WAL without a hole"]
    assert set(noes(proof)) == {"WAL without a hole", "canaries"}
    assert (result["ok"], result["damaged"], proof["verified"]) == (False, True, False)
    assert ["postgres", "public", "Orders", 1501] in proof["tables"]
    assert all(backup.damaged is None for backup in here.repository().backups())


def test_a_flipped_bit_in_a_volume_marks_the_backup(server_home: Path, plain_server: PlainServerFactory) -> None:
    """One bit of one volume is enough: the object is named, the backup is damaged from then on, and nothing stays of the copy."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    backup = here.run(Job.BASE_BACKUP)["id"]
    [volume, *_] = sorted((here.home / "repository").rglob(f"{backup}/base/00*"))
    flip(volume)
    result = drilled(here)
    [proof] = result["proofs"]
    assert list(noes(proof)) == ["not corrupted"]
    assert f"{backup}/base/000000" in noes(proof)["not corrupted"]
    assert (result["damaged"], proof["verified"]) == (True, False)
    [summary] = here.repository().backups()
    assert f"{backup}/base/000000" in (summary.damaged or "")
    [again] = drilled(here)["proofs"]
    assert "known to be damaged" in noes(again)["not corrupted"]
    assert left_behind(here) == []


def test_a_corrupted_index_page_and_a_broken_foreign_key_are_named(
    server_home: Path, plain_server: PlainServerFactory
) -> None:
    """Without page checksums only amcheck sees a wrong key in an index, and only reading the rows an orphan behind a valid key."""
    server = plain_server(18, options=["--no-data-checksums"])
    here = shop(server_home / "p", server)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute('DELETE FROM "Users" WHERE id = 7')
        connection.execute('REINDEX INDEX "Orders_pkey"')
        connection.execute("CHECKPOINT")
        [(path,)] = connection.execute("SELECT pg_relation_filepath('\"Orders_pkey\"')").fetchall()
    index = server.data_directory / str(path)
    with index.open("r+b") as file:
        file.seek(
            8192 + 8192 - 16 - 16 * 10 + 8
        )  # the key of the tenth tuple before the special space of the first leaf
        file.write(b"\x99\x99")
    here.run(Job.BASE_BACKUP)
    result = drilled(here)
    [proof] = result["proofs"]
    assert set(noes(proof)) == {"indexes present and sound", "foreign keys intact"}
    assert "Orders_pkey" in noes(proof)["indexes present and sound"]
    assert "Orders_user_fkey" in noes(proof)["foreign keys intact"]
    assert (result["damaged"], proof["verified"]) == (True, False)
    assert points(proof)["page checksums"][0] is None
    [summary] = here.repository().backups()
    assert summary.damaged is None, "it may be the best there is"


def test_a_bad_page_is_seen_where_there_are_checksums(server_home: Path, plain_server: PlainServerFactory) -> None:
    """A page that fails its checksum in the copy is found by pg_checksums, whatever the queries over it said."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    execute(server, "CHECKPOINT")
    [(path,)] = execute(server, "SELECT pg_relation_filepath('\"Users_name_key\"')")
    page = server.data_directory / str(path)
    with page.open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"\x55")
    with pytest.raises(Corruption, match="kept, marked damaged"):
        here.run(Job.BASE_BACKUP)
    [proof] = drilled(here)["proofs"]
    assert "known to be damaged" in noes(proof)["not corrupted"]


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ("IF NEW.side = 'before' THEN RETURN NULL; END IF; RETURN NEW;", "just before the target, at"),
        (
            (
                "IF NEW.side = 'before' THEN"
                " INSERT INTO pitstop.canary (drill, side) VALUES (NEW.drill, 'after'); END IF; RETURN NEW;"
            ),
            "just after the target, at",
        ),
    ],
    ids=["missing", "surviving"],
)
def test_a_canary_missing_or_surviving_fails_the_drill(
    server_home: Path, plain_server: PlainServerFactory, trigger: str, said: str
) -> None:
    """The first row swallowed, or the second one already written with the first: the drill says which, and verifies nothing."""
    server = plain_server(18)
    here = shop(server_home / "p", server, {"drill": "{ canary = true }"})
    for statement in (
        "CREATE SCHEMA pitstop",
        "CREATE TABLE pitstop.canary (drill text, side text, written_at timestamptz DEFAULT clock_timestamp())",
        f"CREATE FUNCTION evil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {trigger} END $$",
        "CREATE TRIGGER evil BEFORE INSERT ON pitstop.canary FOR EACH ROW EXECUTE FUNCTION evil()",
    ):
        execute(server, statement)
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        [proof] = drilled(here)["proofs"]
    assert list(noes(proof)) == ["canaries"]
    assert said in noes(proof)["canaries"]
    assert not proof["verified"]


def test_what_is_not_the_newest_never_passes_for_it(server_home: Path, plain_server: PlainServerFactory) -> None:
    """The older backup by its id is not called the newest; nor is it when the newer one was deleted behind Pitstop's back."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    with here.receiving():
        older, newer = here.run(Job.BASE_BACKUP)["id"], here.run(Job.BASE_BACKUP)["id"]
    [proof] = drilled(here, backup=older)["proofs"]
    assert (proof["backup"], proof["newest"], proof["verified"]) == (older, False, True)
    assert newer in points(proof)["newest backup"][1]
    for folder in list((here.home / "repository").rglob(newer)):
        shutil.rmtree(folder)
    result = drilled(here)
    [proof] = result["proofs"]
    assert (proof["backup"], proof["newest"], result["ok"]) == (older, False, False)
    assert f"{newer} was made later" in noes(proof)["newest backup"]


def stored(here: Installation, segment: str) -> bool:
    """Say whether the repository holds a whole segment."""
    return any(path.name == segment and path.is_file() for path in (here.home / "repository").rglob(segment))


def test_canaries_that_may_not_be_written_are_said(server_home: Path, plain_server: PlainServerFactory) -> None:
    """A role without the right changes nothing and fails nothing: the checklist has the line that puts it right, which works."""
    server = plain_server(18)
    for statement in ("CREATE ROLE canaries LOGIN", "REVOKE CREATE ON DATABASE postgres FROM PUBLIC"):
        execute(server, statement)
    dsn = server.dsn(user="canaries")
    here = shop(server_home / "p", server, {"drill": "{ canary = true }", "restore_dsn": f'"{dsn}"'})
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        [proof] = drilled(here)["proofs"]
        ok, said = points(proof)["canaries"]
        assert (ok, proof["verified"]) == (None, True)
        line = said[said.index("CREATE SCHEMA") : said.index(" --")]
        execute(server, line)
        [proof] = drilled(here)["proofs"]
    assert points(proof)["canaries"][0] is True
