"""Drills of dumps: what passes, and that every kind of planted fault is caught and named."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from bot.model.runs import Job
from tests.integration.drills import drilled, flip, left_behind, noes, pg_dump, plant_dump, points, shop
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


def test_a_sound_dump_passes_beside_the_base_backup(server_home: Path, plain_server: PlainServerFactory) -> None:
    """One drill proves the newest dump and the newest base backup, each by its exact id; roles and counts come back."""
    server = plain_server(18)
    here = shop(server_home / "p", server, {"databases": '["postgres", "Käse \\"1\\""]'})
    execute(server, 'CREATE ROLE "der Käufer" LOGIN')
    execute(server, 'CREATE DATABASE "Käse ""1"""')
    execute(
        server, 'CREATE TABLE laib (id serial PRIMARY KEY); ALTER TABLE laib OWNER TO "der Käufer"', dbname='Käse "1"'
    )
    execute(server, "INSERT INTO laib SELECT FROM generate_series(1, 3)", dbname='Käse "1"')
    execute(server, "SELECT lo_create(0)")
    base, dump = here.run(Job.BASE_BACKUP)["id"], here.run(Job.DUMP)["id"]
    result = drilled(here)
    assert [(p["backup"], p["newest"], p["verified"]) for p in result["proofs"]] == [
        (base, True, True),
        (dump, True, True),
    ]
    answers = points(result["proofs"][1])
    assert answers["restored without an error"] == (True, "2 databases")
    assert answers["row counts"][0] is True
    assert ['Käse "1"', "public", "laib", 3] in result["proofs"][1]["tables"]
    assert all(summary.verified_at for summary in here.repository().backups())
    assert left_behind(here) == []


def test_a_table_emptied_before_the_dump_is_far_below_history(
    server_home: Path, plain_server: PlainServerFactory
) -> None:
    """A dump that is whole and true to an emptied table fails: the dump before it had rows there. The name is told."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    before = here.run(Job.DUMP)["id"]
    execute(server, 'TRUNCATE "Orders"')
    here.run(Job.DUMP)
    [proof] = drilled(here)["proofs"]
    assert noes(proof) == {
        "row counts against history": f"postgres.public.Orders has 0 rows, the dump {before} had 1,500"
    }
    assert (proof["verified"], proof["damaged"]) == (False, False)


def test_a_table_emptied_between_snapshot_and_count_is_caught(
    server_home: Path, plain_server: PlainServerFactory
) -> None:
    """Counted in the dump's snapshot without its locks, a truncated table has 0 rows there; the restored one has all of them."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    here.run(Job.BASE_BACKUP)
    with psycopg.connect(server.dsn()) as exporter:
        exporter.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        exporter.execute("SELECT pg_export_snapshot()")
        archive = pg_dump(server)
        execute(server, 'TRUNCATE "Orders"')
        counted = exporter.execute('SELECT count(*) FROM "Orders"').fetchone()
    assert counted == (0,)
    plant_dump(here, server, archive, {"Orders": 0, "Users": 400})
    proof = drilled(here)["proofs"][1]
    assert noes(proof) == {"row counts": "postgres.public.Orders has 1,500 rows instead of 0"}


def test_rows_hidden_by_row_level_security_are_missed(server_home: Path, plain_server: PlainServerFactory) -> None:
    """A dump taken with row security on agrees with its own count, and not with the cluster's files."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    for statement in (
        "CREATE ROLE reader LOGIN IN ROLE pg_read_all_data",
        'ALTER TABLE "Orders" ENABLE ROW LEVEL SECURITY',
        'CREATE POLICY few ON "Orders" USING ("user" = 1)',
    ):
        execute(server, statement)
    here.run(Job.BASE_BACKUP)
    archive = pg_dump(server, "--enable-row-security", user="reader")
    with psycopg.connect(server.dsn(user="reader")) as reader:
        [(rows,)] = reader.execute('SELECT count(*) FROM "Orders"').fetchall()
    plant_dump(here, server, archive, {"Orders": rows, "Users": 400})
    proof = drilled(here)["proofs"][1]
    assert list(noes(proof)) == ["row counts"]
    assert f"Orders has {rows:,} rows in the dump and 1,500 in the base backup" in noes(proof)["row counts"]
    assert "row-level security" in noes(proof)["row counts"]


def test_a_foreign_key_broken_before_the_dump_is_named(server_home: Path, plain_server: PlainServerFactory) -> None:
    """The scratch server validates the key anew and refuses; a flipped bit in the same dump is damage, and marks it."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute('DELETE FROM "Users" WHERE id = 7')
    dump = here.run(Job.DUMP)["id"]
    [proof] = drilled(here)["proofs"]
    assert list(noes(proof)) == ["restored without an error"]
    assert "Orders_user_fkey" in noes(proof)["restored without an error"]
    [volume] = (here.home / "repository").rglob(f"{dump}/db-0/000000")
    flip(volume)
    result = drilled(here)
    [proof] = result["proofs"]
    assert (result["damaged"], proof["verified"]) == (True, False)
    assert "db-0/000000" in noes(proof)["not corrupted"]
    [summary] = here.repository().backups()
    assert "db-0/000000" in (summary.damaged or "")
    assert left_behind(here) == []


def test_a_dump_of_a_part_is_no_newest_dump(server_home: Path, plain_server: PlainServerFactory) -> None:
    """The newest whole dump is proved although one of the schema alone is newer, and the drill says so; that one by its id."""
    server = plain_server(18)
    here = shop(server_home / "p", server)
    whole = here.run(Job.DUMP)["id"]
    part = here.run(Job.DUMP, part="schema-only")["id"]
    [proof] = drilled(here)["proofs"]
    assert (proof["backup"], proof["newest"]) == (whole, True)
    assert part in points(proof)["newest backup"][1]
    [proof] = drilled(here, backup=part)["proofs"]
    assert (proof["backup"], proof["newest"], noes(proof)) == (part, True, {})
