"""Dumps of real servers: what is stored, that it restores, and what is refused with which words."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bot.model.ids import BackupId
from bot.model.runs import Job
from bot.postgres.binaries import find_client
from bot.postgres.plain import PlainServer
from bot.repository.examine import examine
from tests.jobs import Installation, install
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

AWKWARD = (
    'CREATE SCHEMA "Odd.Schema"',
    'CREATE TABLE "Odd.Schema"."ta""b*l.e" AS SELECT g AS "Id" FROM generate_series(1, 17) g',
    'CREATE TABLE "Transactions" ("Id" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)',
    'INSERT INTO "Transactions" (note) SELECT repeat(md5(g::text), 4) FROM generate_series(1, 3000) g',
    "CREATE TABLE transactions AS SELECT 1 AS n",
    'CREATE TABLE "ตาราง?" AS SELECT 1 AS n UNION ALL SELECT 2',
    "CREATE TABLE parts (n int, t text) PARTITION BY RANGE (n)",
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200)",
    "INSERT INTO parts SELECT g, 'x' FROM generate_series(50, 149) g",
    "CREATE UNLOGGED TABLE scratch AS SELECT 1 AS n",
    "CREATE VIEW v AS SELECT count(*) FROM parts",
    "SELECT lo_from_bytea(4711, 'a large object')",
)
HASHES = """SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} t"""
TABLES = ('"Odd.Schema"."ta""b*l.e"', '"Transactions"', "transactions", '"ตาราง?"', "parts", "scratch")


def fill(server: PlainServer, dbname: str = "postgres") -> None:
    """Make the awkward tables."""
    for statement in AWKWARD:
        execute(server, statement, dbname=dbname)


def body(here: Installation, result: dict[str, Any]) -> dict[str, Any]:
    """Return what the manifest of a dump says."""
    return here.repository().manifest(BackupId(result["id"])).body


def counts(here: Installation, result: dict[str, Any], database: int = 0) -> dict[str, int | None]:
    """Return the rows of each table of one dumped database."""
    tables = body(here, result)["databases"][database]["tables"]
    return {f"{table['schema']}.{table['name']}": table["rows"] for table in tables}


def restore(here: Installation, server: PlainServer, result: dict[str, Any], archive: str, dbname: str) -> None:
    """Restore one archive with pg_restore into a new database, straight out of the repository."""
    execute(server, f'CREATE DATABASE "{dbname}" TEMPLATE template0')
    repository = here.repository()
    manifest = repository.manifest(BackupId(result["id"]))
    tools = find_client(("pg_restore",), at_least=server.binaries.major)
    argv = [os.fspath(tools.tool("pg_restore")), "--exit-on-error", "--dbname", server.dsn(dbname)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    for piece in repository.read_archive(manifest, archive):
        process.stdin.write(piece)
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.parametrize("major", [15, 16, 18])
def test_a_dump_restores(plain_server: PlainServerFactory, tmp_path: Path, major: int) -> None:
    """A database with awkward names and a large object goes through dump and pg_restore, and all its rows are equal.

    The counts beside it are those of the tables; the repository is sound; the globals are SQL with the roles.
    """
    server = plain_server(major)
    fill(server)
    execute(server, 'CREATE ROLE "a role\'s name" LOGIN')
    here = install(tmp_path / "pitstop", server)
    result = here.run(Job.DUMP)
    assert result["kind"] == "dump"
    assert [backup.id for backup in here.repository().backups()] == [result["id"]]
    assert list(examine(here.repository())) == []
    assert counts(here, result) == {
        'Odd.Schema.ta"b*l.e': 17,
        "public.Transactions": 3000,
        "public.parts": None,
        "public.parts_1": 50,
        "public.parts_2": 50,
        "public.scratch": 1,
        "public.transactions": 1,
        "public.ตาราง?": 2,
    }
    assert body(here, result)["databases"][0]["large_objects"] == 1
    restore(here, server, result, "db-0", "again")
    for table in TABLES:
        assert execute(server, HASHES.format(table), dbname="again") == execute(server, HASHES.format(table)), table
    assert execute(server, "SELECT lo_get(4711)", dbname="again") == [(b"a large object",)]
    assert execute(server, 'INSERT INTO "Transactions" (note) VALUES (1) RETURNING "Id"', dbname="again") == [(3001,)]
    manifest = here.repository().manifest(BackupId(result["id"]))
    sql = b"".join(here.repository().read_archive(manifest, "globals")).decode()
    assert 'CREATE ROLE "a role\'s name";' in sql
