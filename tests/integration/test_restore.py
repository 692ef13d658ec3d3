"""Restores out of dumps: what comes back where, what is refused with which words, and that nothing half made is ever left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot import desk
from bot.config import load
from bot.errors import Conflict
from bot.host.accounts import Account
from bot.ledger import audit, leases
from bot.model.dumps import Part
from bot.model.ids import BackupId, backup_id
from bot.model.requests import Request, State
from bot.model.restores import Wanted
from bot.model.runs import Job
from bot.postgres.checks import check_cluster
from bot.postgres.isolated import remove_directory
from bot.postgres.plain import PlainServer
from jobs.context import JobContext, utc_now
from tests.jobs import CLUSTER, Installation, install
from tests.recoveries import RIGHTS, agreed, asked, execute, lasting_server, queue_executor
from tests.servers import binaries_or_skip
from tests.servers import execute as sql

pytestmark = pytest.mark.pg
SHOP = (
    "CREATE ROLE clerk",
    "CREATE ROLE monitor LOGIN",
    "CREATE TYPE state AS ENUM ('new', 'paid')",
    'CREATE TABLE "Users" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL)',
    """INSERT INTO "Users" (name) SELECT 'u' || g FROM generate_series(1, 300) g""",
    'CREATE TABLE "Orders" (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES "Users", state state DEFAULT \'new\')',
    'INSERT INTO "Orders" (user_id) SELECT 1 + g % 300 FROM generate_series(1, 900) g',
    'CREATE INDEX by_user ON "Orders" (user_id)',
    "CREATE TABLE parts (n int, PRIMARY KEY (n)) PARTITION BY RANGE (n)",
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (50)",
    "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (50) TO (100)",
    "INSERT INTO parts SELECT generate_series(10, 89)",
    "CREATE TABLE wide AS SELECT g AS n, repeat(md5(g::text), 30) AS x FROM generate_series(1, 20000) g",
    'ALTER TABLE "Users" OWNER TO clerk',
    "SELECT lo_from_bytea(99, 'large')",
)


@pytest.fixture(scope="module")
def stage(
    server_user: Account, cluster_template: Callable[..., Path]
) -> Iterator[tuple[Installation, PlainServer, dict[str, Any]]]:
    """A small shop, and a dump of it, for all tests here; none of them changes the shop."""
    with lasting_server(binaries_or_skip(18), cluster_template, server_user, {}) as (home, server):
        for statement in SHOP:
            sql(server, statement)
        checks = (
            '[{ name = "orders", database = "postgres", sql = "SELECT count(*) FROM \\"Orders\\"", expect = "900" }]'
        )
        here = install(home / "pitstop", server, {**RIGHTS, "databases": '["postgres"]', "checks": checks})
        yield here, server, here.run(Job.DUMP)


@pytest.fixture
def here(stage: tuple[Installation, PlainServer, dict[str, Any]]) -> Installation:
    """The installation."""
    return stage[0]


@pytest.fixture
def server(stage: tuple[Installation, PlainServer, dict[str, Any]]) -> Iterator[PlainServer]:
    """The server, on which no test leaves an unfinished database."""
    yield stage[1]
    assert unfinished(stage[1]) == []


def unfinished(server: PlainServer) -> list[str]:
    """Return the databases that Pitstop was making."""
    return [str(name) for (name,) in sql(server, "SELECT datname FROM pg_database WHERE datname LIKE 'pitstop%'")]


def into(database: str, schema: str = "") -> dict[str, Any]:
    """Return a destination."""
    return (
        {"kind": "schema", "database": database, "schema": schema}
        if schema
        else {"kind": "database", "database": database}
    )


def plan(here: Installation, wanted: Wanted, destination: dict[str, Any]) -> Request:
    """Ask, and have the plan made."""
    return asked(here, "restore", wanted, wanted.text(), destination)


def restored(here: Installation, wanted: Wanted, destination: dict[str, Any]) -> dict[str, Any]:
    """Ask, agree and carry out; return the outcome of the success."""
    done = execute(here, agreed(here, plan(here, wanted, destination)).id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert done.outcome is not None
    return done.outcome


def refused(here: Installation, wanted: Wanted, destination: dict[str, Any]) -> dict[str, Any]:
    """Return what a request that has no plan is told."""
    request = plan(here, wanted, destination)
    assert request.state is State.REFUSED
    assert request.outcome is not None
    assert request.outcome["hint"]
    return request.outcome


def number(server: PlainServer, query: str, dbname: str = "postgres") -> object:
    """Return the one value of a query."""
    return sql(server, query, dbname=dbname)[0][0]


def test_a_whole_database(here: Installation, server: PlainServer) -> None:
    """All rows are there, the checks say so, the plan leased the dump until the end, and the psql line leads to it."""
    planned = plan(here, Wanted(), into("whole"))
    with here.ledger.read() as tx:
        (lease,) = leases.held(tx, CLUSTER)
    assert planned.plan is not None
    assert lease.backups == (planned.plan.steps.chain[0].backup,)
    assert planned.plan.facts.rows == 300 + 900 + 80 + 20000
    done = execute(here, agreed(here, planned).id)
    outcome = done.outcome or {}
    assert done.state is State.SUCCEEDED, outcome
    assert all(check["ok"] for check in outcome["checks"]), outcome["checks"]
    assert {check["name"] for check in outcome["checks"]} >= {"rows equal the dump's counts", "orders", "large objects"}
    with psycopg.connect(f"{outcome['dsn']} user=postgres") as connection:
        assert connection.execute('SELECT count(*) FROM "Orders"').fetchone() == (900,)
        assert connection.execute("SELECT count(*) FROM pg_stats WHERE tablename = 'wide'").fetchone() == (2,)
    assert number(
        server, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'whole'"
    ) == number(server, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'postgres'")
    with here.ledger.read() as tx:
        assert leases.held(tx, CLUSTER) == ()
    again = plan(here, Wanted(), into("whole_2"))
    assert again.plan is not None
    assert again.plan.facts.estimate_s is not None
    assert "judging by the restore of" in again.plan.facts.basis


def test_definitions_alone(here: Installation, server: PlainServer) -> None:
    """Every table is there, and every one is empty."""
    outcome = restored(here, Wanted(part=Part.SCHEMA_ONLY), into("defined"))
    assert outcome["part"] == "schema-only"
    assert number(server, 'SELECT count(*) FROM "Orders"', "defined") == 0
    assert number(server, "SELECT count(*) FROM pg_largeobject_metadata", "defined") == 0
    assert number(server, "SELECT count(*) FROM pg_constraint WHERE contype = 'f'", "defined") == 1


def test_tables_into_a_new_database(here: Installation, server: PlainServer) -> None:
    """A chosen table comes with its type, sequence, index and primary key; the foreign key out of it is left out, and said."""
    outcome = restored(here, Wanted(tables=("Orders", "parts")), into("some"))
    assert outcome["left_out"] == [
        "The foreign key Orders Orders_user_id_fkey leads to a table that is not restored; it is left out."
    ]
    assert {row["table"]: row["rows"] for row in outcome["tables"]} == {"Orders": 900, "parts_1": 40, "parts_2": 40}
    assert number(server, 'INSERT INTO "Orders" (user_id) VALUES (1) RETURNING id', "some") == 901
    assert number(server, "SELECT count(*) FROM parts", "some") == 80
    assert number(server, "SELECT count(*) FROM pg_indexes WHERE indexname = 'by_user'", "some") == 1
    assert sql(server, "SELECT relname FROM pg_class WHERE relname IN ('Users', 'wide')", dbname="some") == []


def test_tables_with_their_foreign_key(here: Installation, server: PlainServer) -> None:
    """Where both ends are chosen the foreign key comes along, and holds."""
    assert restored(here, Wanted(tables=("public.Orders", "Users")), into("both"))["left_out"] == []
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        sql(server, 'INSERT INTO "Orders" (user_id) VALUES (9999)', dbname="both")
    assert number(server, "SELECT tableowner FROM pg_tables WHERE tablename = 'Users'", "both") == "clerk"


def test_tables_into_a_schema(here: Installation, server: PlainServer) -> None:
    """Beside the live tables stand the dumped ones, with their type, sequence and foreign key; the live ones are untouched."""
    sql(server, "CREATE DATABASE desk TEMPLATE template0 OWNER clerk")
    outcome = restored(here, Wanted(tables=("Orders", "Users", "parts")), into("desk", "Rescued one"))
    assert (outcome["database"], outcome["schema"]) == ("desk", "Rescued one")
    assert (
        number(
            server,
            'SELECT count(*) FROM "Rescued one"."Orders" o JOIN "Rescued one"."Users" u ON u.id = o.user_id',
            "desk",
        )
        == 900
    )
    assert number(server, 'INSERT INTO "Rescued one"."Orders" (user_id) VALUES (1) RETURNING id', "desk") == 901
    assert (
        number(server, 'INSERT INTO "Rescued one".parts VALUES (99) RETURNING tableoid::regclass::text', "desk")
        == '"Rescued one".parts_2'
    )
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        sql(server, 'INSERT INTO "Rescued one"."Orders" (user_id) VALUES (9999)', dbname="desk")
    assert (
        number(
            server,
            "SELECT nspname FROM pg_namespace n JOIN pg_type t ON typnamespace = n.oid WHERE typname = 'state'",
            "desk",
        )
        == "Rescued one"
    )
    assert (
        number(server, "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'Rescued one'", "desk")
        == "clerk"
    )
    assert "Restored from" in str(
        number(
            server,
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'Rescued one'",
            "desk",
        )
    )
    said = refused(here, Wanted(tables=("Orders",)), into("desk", "Rescued one"))
    assert said["code"] == "destination-taken"


def test_a_dump_named_by_its_id(here: Installation, server: PlainServer, stage: Any) -> None:
    """An id names that dump; no drill has proved one yet, and the plan warns of that."""
    planned = plan(here, Wanted(stage[2]["id"]), into("by_id"))
    assert planned.plan is not None
    assert planned.plan.steps.chain[0].backup == stage[2]["id"]
    assert "No drill has proved this dump yet." in planned.plan.facts.warnings


@pytest.mark.parametrize(
    ("wanted", "destination", "code", "words"),
    [
        (Wanted("20261122T023000Z-dump-0000"), into("x"), "unknown-backup", "There is no backup"),
        (Wanted("verified"), into("x"), "none-verified", "No drill has proved a dump"),
        (Wanted(database="Postgres"), into("x"), "unknown-database", "Did you mean postgres?"),
        (Wanted(tables=("Ordres",)), into("x"), "unknown-table", "Did you mean public.Orders"),
        (Wanted(tables=("orders",)), into("x"), "unknown-table", "public.Orders"),
        (Wanted(), into("postgres"), "destination-taken", "There is a database postgres on the server already"),
        (Wanted(), into("a" * 64), "destination-taken", "1 to 63 bytes"),
        (Wanted(), into("pitstop_restoring_x"), "destination-taken", "Pitstop's own"),
        (Wanted(), into("postgres", "rescued"), "no-tables", "each named"),
        (Wanted(tables=("Orders",)), into("nowhere", "s"), "destination-taken", "There is no database nowhere"),
        (Wanted(tables=("Orders",)), into("postgres", "public"), "destination-taken", "There is a schema public"),
        (Wanted(tables=("Orders",)), into("postgres", "pg_mine"), "destination-taken", "the server's own"),
        (Wanted(part=Part.DATA_ONLY), into("x"), "tables-not-ready", "There is no database x on the server"),
        (Wanted(part=Part.DATA_ONLY, tables=("Orders",)), into("postgres", "s"), "rows-alone", "--into-database NAME"),
        (Wanted(), {"kind": "beside", "directory": None, "port": None}, "dump-into-directory", "not into a directory"),
    ],
)  # fmt: skip
def test_what_is_refused(
    here: Installation, server: PlainServer, wanted: Wanted, destination: dict[str, Any], code: str, words: str
) -> None:
    """Bad input gets a clear sentence and a way on when it is planned, changes nothing, and stands in the audit."""
    there = sql(server, "SELECT oid, datname FROM pg_database ORDER BY 1")
    said = refused(here, wanted, destination)
    assert said["code"] == code
    assert words in f"{said['message']} {said['hint']}"
    assert sql(server, "SELECT oid, datname FROM pg_database ORDER BY 1") == there
    with here.ledger.read() as tx:
        told = [entry for entry in audit.entries(tx) if entry.action == "request.refuse"]
    assert f'"{code}"' in told[-1].detail


def test_a_missing_role_is_offered_as_the_dump_has_it(here: Installation, server: PlainServer, stage: Any) -> None:
    """A role that owns something and is gone: the hint is the globals' own lines, without a password."""
    sql(server, "CREATE ROLE gone LOGIN PASSWORD 'hush'")
    sql(server, "CREATE DATABASE of_gone TEMPLATE template0")
    sql(server, "CREATE TABLE t (n int)", dbname="of_gone")
    sql(server, "GRANT SELECT ON t TO gone", dbname="of_gone")
    sql(server, "ALTER DATABASE of_gone OWNER TO gone")
    here.run(Job.DUMP, databases=["of_gone"])
    planned = plan(here, Wanted(database="of_gone"), into("of_gone_2"))
    sql(server, "DROP DATABASE of_gone")
    sql(server, "DROP ROLE gone")
    said = refused(here, Wanted(database="of_gone"), into("of_gone_2"))
    assert said["code"] == "missing-roles"
    assert "gone" in said["message"]
    assert "CREATE ROLE gone;" in said["hint"]
    assert "LOGIN" in said["hint"]
    assert "SCRAM" not in said["hint"]
    void = execute(here, agreed(here, planned).id)
    assert void.state is State.VOID
    assert "lacks roles" in (void.outcome or {})["message"]
    assert number(server, "SELECT count(*) FROM pg_database WHERE datname = 'of_gone_2'") == 0
    here.run(Job.DUMP)  # the newest is the shop again


def test_a_statement_that_fails_makes_the_restore_fail(here: Installation, server: PlainServer, stage: Any) -> None:
    """Rows whose check calls a function that finds its table by search_path do not go in: FAILED, named, and nothing is left."""
    sql(server, "CREATE DATABASE broken TEMPLATE template0")
    for statement in (
        "CREATE TABLE helper AS SELECT 1 AS n",
        "CREATE FUNCTION known(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN $1 IN (SELECT n FROM helper); END'",
        "CREATE TABLE t (n int CHECK (known(n)))",
        "INSERT INTO t VALUES (1)",
    ):
        sql(server, statement, dbname="broken")
    here.run(Job.DUMP, databases=["broken"])
    here.run(Job.DUMP)  # newer, and of the shop alone
    done = execute(here, agreed(here, plan(here, Wanted(database="broken"), into("broken_2"))).id)
    assert done.state is State.FAILED
    said = (done.outcome or {})["message"]
    assert 'relation "helper" does not exist' in said
    assert 'COPY failed for table "t"' in said
    assert number(server, "SELECT count(*) FROM pg_database WHERE datname = 'broken_2'") == 0


def forge(here: Installation, original: str, change: Callable[[dict[str, Any]], None], *, version: int = 0) -> str:
    """Write a copy of a dump whose manifest says something else of its database, or of the server; return its id."""
    repository = here.repository()
    manifest = repository.manifest(BackupId(original))
    forged = backup_id("dump", at=utc_now() - timedelta(days=1), entropy=os.urandom(2))
    body = json.loads(json.dumps(manifest.body))
    change(body["databases"][0])
    with repository.begin(forged) as writer:
        for archive in manifest.archives:
            copy = writer.archive(archive.name, tar=False)
            for piece in repository.read_archive(manifest, archive.name):
                copy.write(memoryview(piece))
            copy.close()
        writer.commit(
            body, started_at=manifest.started_at, finished_at=manifest.finished_at, timeline=manifest.timeline,
            start_lsn=manifest.start_lsn, end_lsn=manifest.end_lsn, server_version=version or manifest.server_version,
        )  # fmt: skip
    return forged


def orders(database: dict[str, Any]) -> dict[str, Any]:
    """Return what a dump says of the table of orders."""
    return next(table for table in database["tables"] if table["name"] == "Orders")


def test_rows_that_differ_make_the_restore_fail(
    here: Installation, server: PlainServer, stage: tuple[Installation, PlainServer, dict[str, Any]]
) -> None:
    """A dump whose archive holds other rows than were counted: the restore fails, names the table, and nothing is left."""
    forged = forge(here, stage[2]["id"], lambda database: orders(database).update(rows=901))
    done = execute(here, agreed(here, plan(here, Wanted(forged), into("forged"))).id)
    assert done.state is State.FAILED
    assert "public.Orders has 900 rows, and the dump counted 901" in (done.outcome or {})["message"]
    assert number(server, "SELECT count(*) FROM pg_database WHERE datname = 'forged'") == 0


def test_a_dump_of_a_newer_server_is_refused(
    here: Installation, server: PlainServer, stage: tuple[Installation, PlainServer, dict[str, Any]]
) -> None:
    """What a later major version dumped may not be understood: refused when it is planned."""
    forged = forge(here, stage[2]["id"], lambda _: None, version=190001)
    said = refused(here, Wanted(forged), into("newer"))
    assert said["code"] == "older-server"
    assert "PostgreSQL 19" in said["message"]


def test_too_little_disk_is_refused(
    here: Installation, server: PlainServer, stage: tuple[Installation, PlainServer, dict[str, Any]]
) -> None:
    """Tables larger than the server's disk are refused when it is planned; without them the rest fits."""
    forged = forge(here, stage[2]["id"], lambda database: orders(database).update(bytes=10**16))
    assert refused(here, Wanted(forged), into("huge"))["code"] == "too-little-disk"
    assert plan(here, Wanted(forged, tables=("Users",)), into("small")).state is State.PROPOSED


def test_a_role_that_is_no_superuser(here: Installation, server: PlainServer, tmp_path: Path) -> None:
    """CREATEDB and membership in the owners are enough for what no superuser owns; without, the plan names the line."""
    for statement in (
        "CREATE ROLE restorer LOGIN",
        "CREATE ROLE keeper",
        "CREATE DATABASE kept TEMPLATE template0 OWNER keeper",
    ):
        sql(server, statement)
    for statement in (
        "SET ROLE keeper; CREATE TABLE t AS SELECT generate_series(1, 70) AS n",
        "GRANT SELECT ON t TO clerk",
        "ALTER DATABASE kept SET work_mem = '5MB'",
    ):
        sql(server, statement, dbname="kept")
    with here.config_path.open() as file:
        text = file.read()
    dsn = server.dsn(user="restorer").replace('"', '\\"')
    own = tmp_path / "pitstop.toml"
    own.write_text(text.replace("[clusters.slips]\n", f'[clusters.slips]\nrestore_dsn = "{dsn}"\n'))
    config, _ = load(own)
    limited = replace(here, config=config, config_path=own)
    here.run(Job.DUMP, databases=["kept"])
    said = refused(limited, Wanted(database="kept"), into("kept_2"))
    assert said["code"] == "right-createdb"
    assert 'ALTER ROLE "restorer"' in said["hint"]
    found = {finding.code: finding for finding in check_cluster(config, CLUSTER)}
    for code in ("right-createdb", "right-signal-backend", "right-set-role"):
        sql(server, found[code].fix)
    left = {finding.code for finding in check_cluster(config, CLUSTER)}
    assert "restore-rights" in left
    assert not left & {"right-createdb", "right-signal-backend", "right-set-role"}
    restored(limited, Wanted(database="kept"), into("kept_2"))
    assert number(server, "SELECT tableowner FROM pg_tables WHERE tablename = 't'", "kept_2") == "keeper"
    assert number(server, "SHOW work_mem", "kept_2") == "5MB"
    assert number(server, "SELECT has_table_privilege('clerk', 't', 'SELECT')", "kept_2") is True


def test_a_base_backup_comes_back_whole(here: Installation, server: PlainServer, tmp_path: Path) -> None:
    """A base backup named by its id becomes a server of its own, as it stood at its end; parts of it are refused."""
    base = here.run(Job.BASE_BACKUP)["id"]
    sql(server, "CREATE TABLE later AS SELECT 1 AS n")
    said = refused(here, Wanted(base, tables=("Orders",)), into("x"))
    assert said["code"] == "whole-base-backup"
    directory = here.home.parent / "whole"
    request = plan(here, Wanted(base), {"kind": "beside", "directory": str(directory), "port": None})
    assert request.plan is not None, request.outcome
    assert request.plan.steps.verb == "restore"
    done = execute(here, agreed(here, request).id)
    try:
        assert done.state is State.SUCCEEDED, done.outcome
        with psycopg.connect((done.outcome or {})["dsn"]) as connection:
            assert connection.execute('SELECT count(*) FROM "Orders"').fetchone() == (900,)
            assert connection.execute("SELECT to_regclass('later')").fetchone() == (None,)
    finally:
        remove_directory(directory)


def test_what_changes_between_plan_and_start_makes_it_void(here: Installation, server: PlainServer) -> None:
    """Somebody made a database of that name meanwhile: nothing is done, and theirs is untouched."""
    request = agreed(here, plan(here, Wanted(), into("raced")))
    sql(server, "CREATE DATABASE raced")
    void = execute(here, request.id)
    assert void.state is State.VOID
    assert "There is a database raced" in (void.outcome or {})["message"]
    assert number(server, "SELECT count(*) FROM pg_class WHERE relname = 'Orders'", "raced") == 0


def test_two_restores_to_one_place_wait_for_each_other(here: Installation, server: PlainServer) -> None:
    """The second executor is not queued while the first has the name."""
    first, second = (agreed(here, plan(here, Wanted(), into("twice"))) for _ in range(2))
    run = queue_executor(here, first.id)
    with pytest.raises(Conflict):
        queue_executor(here, second.id)
    desk.cancel_run(here.ledger, run.id, utc_now())


def test_a_time_limit(here: Installation, server: PlainServer, stage: Any) -> None:
    """A restore that takes longer than `restore.limit` is given up, and leaves nothing."""
    config = here.config.model_copy(update={"restore": here.config.restore.model_copy(update={"limit": timedelta(0)})})
    request = agreed(here, plan(here, Wanted(), into("late")))

    def hurry(context: JobContext) -> None:
        context.config = config

    done = execute(here, request.id, prepare=hurry)
    assert done.state is State.FAILED
    assert (done.outcome or {})["code"] == "time-limit"
