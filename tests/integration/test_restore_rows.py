"""Rows alone, into tables that exist: only empty ones are filled, whole or not at all, and the database is always left standing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot import desk
from bot.config import load
from bot.host.accounts import Account
from bot.model.destinations import EmptyTables
from bot.model.dumps import Part
from bot.model.requests import Request, State
from bot.model.restores import LATEST, Wanted
from bot.model.runs import Job
from bot.postgres.empty_tables import columns
from bot.postgres.plain import PlainServer
from tests.jobs import CLUSTER, install, wait_for
from tests.recoveries import DBA, ENGINEER, RIGHTS, asked, caller, execute, get, lasting_server
from tests.servers import binaries_or_skip
from tests.servers import execute as sql
from tests.supervised import Supervised

pytestmark = pytest.mark.pg
SHOP = (
    'CREATE TABLE "Users" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "full, name" text NOT NULL)',
    """INSERT INTO "Users" ("full, name") SELECT 'u' || g FROM generate_series(1, 300) g""",
    'CREATE TABLE "Orders" (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES "Users")',
    'ALTER TABLE "Orders" ADD twice int GENERATED ALWAYS AS (user_id * 2) STORED',
    'INSERT INTO "Orders" (user_id) SELECT 1 + g % 300 FROM generate_series(1, 900) g',
    "CREATE TABLE parts (n int, PRIMARY KEY (n)) PARTITION BY RANGE (n)",
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (50)",
    "INSERT INTO parts SELECT generate_series(10, 49)",
    "SELECT lo_from_bytea(99, 'large')",
)  # fmt: skip
TABLES = ('"Users"', '"Orders"', "parts")


class Stage(Supervised):
    """A server with a dump of a shop, and databases with the shop's definitions alone."""

    server: PlainServer

    def definitions(self, name: str) -> None:
        """Make the database `name` with everything of the shop but rows."""
        wanted = Wanted(part=Part.SCHEMA_ONLY)
        done = execute(self.here, self.agreed(wanted, name).id)
        assert done.state is State.SUCCEEDED, done.outcome

    def plan(self, name: str, *tables: str, part: Part = Part.DATA_ONLY, backup: str = LATEST) -> Request:
        """Ask for rows into the database `name`, and have the plan made."""
        wanted = Wanted(backup, part=part, tables=tables)
        return asked(self.here, "restore", wanted, wanted.text(), {"kind": "database", "database": name})

    def agreed(self, wanted: Wanted, name: str) -> Request:
        """Return an approved request; who approves types the cluster's name, as for everything that writes into what lives."""
        planned = self.plan(name, *wanted.tables, part=wanted.part, backup=wanted.backup)
        assert planned.state is State.PROPOSED, planned.outcome
        desk.confirm(self.here.ledger, caller(self.here, ENGINEER), planned.id, reason="")
        return desk.approve(self.here.ledger, caller(self.here, DBA), planned.id, typed=CLUSTER)

    def rows(self, name: str) -> list[int]:
        """Return how many rows each table of the shop has in the database `name`."""
        counts = [sql(self.server, f"SELECT count(*) FROM {table}", dbname=name) for table in TABLES]
        return [int(str(found[0][0])) for found in counts]

    def oid(self, name: str) -> object:
        """Return which database has that name."""
        return sql(self.server, f"SELECT oid FROM pg_database WHERE datname = '{name}'")

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Keep pg_restore waiting before the last table: reading it is free, writing waits."""
        with psycopg.connect(self.server.dsn(dbname=name)) as connection:
            connection.execute("LOCK TABLE parts_1 IN SHARE MODE")
            yield

    def waiting(self, name: str) -> bool:
        """Say whether pg_restore stands before the table that is held, the others' rows being in."""
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'"
        return sql(self.server, query) != [(0,)]


@pytest.fixture(scope="module")
def lasting(server_user: Account, cluster_template: Callable[..., Path]) -> Iterator[Stage]:
    """One server with one dump for all tests here."""
    with lasting_server(binaries_or_skip(18), cluster_template, server_user, {}) as (home, server):
        for statement in SHOP:
            sql(server, statement)
        here = install(home / "pitstop", server, {**RIGHTS, "databases": '["postgres"]'})
        here.run(Job.DUMP)
        stage = Stage(here)
        stage.server = server
        yield stage


@pytest.fixture
def stage(lasting: Stage) -> Iterator[Stage]:
    """The stage, with a database `copy` that has every table and no row; all databases go after each test."""
    lasting.definitions("copy")
    yield lasting
    lasting.end_runs()
    names = sql(lasting.server, "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'")
    for (name,) in names:
        sql(lasting.server, f'DROP DATABASE "{name}" WITH (FORCE)')
    assert not [name for (name,) in names if str(name).startswith("pitstop")]


def refusal(request: Request) -> dict[str, Any]:
    """Return what a request that has no plan is told."""
    assert request.state is State.REFUSED
    return request.outcome or {}


def test_rows_into_empty_tables(stage: Stage) -> None:
    """All rows arrive, sequences go on after them, and database, comment and name are what they were."""
    oid = stage.oid("copy")
    request = stage.agreed(Wanted(part=Part.DATA_ONLY), "copy")
    assert request.plan is not None
    assert request.plan.steps.destination == EmptyTables("copy")
    done = execute(stage.here, request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert {row["table"]: row["rows"] for row in (done.outcome or {})["tables"]} == {
        "Users": 300,
        "Orders": 900,
        "parts_1": 40,
    }
    assert stage.rows("copy") == [300, 900, 40]
    assert stage.oid("copy") == oid
    for table in TABLES:
        same = f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t"
        assert sql(stage.server, same, dbname="copy") == sql(stage.server, same)
    assert sql(stage.server, 'INSERT INTO "Orders" (user_id) VALUES (1) RETURNING id', dbname="copy") == [(901,)]
    assert sql(stage.server, "SELECT lo_get(99)", dbname="copy") == [(b"large",)]


def test_chosen_tables(stage: Stage) -> None:
    """Of chosen tables the others are not looked at and not written: one of them has a row, and keeps it."""
    sql(stage.server, "INSERT INTO parts VALUES (1)", dbname="copy")
    done = execute(stage.here, stage.agreed(Wanted(part=Part.DATA_ONLY, tables=("Users",)), "copy").id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert stage.rows("copy") == [300, 0, 1]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("INSERT INTO parts VALUES (1)", "The table public.parts_1 in copy has rows already; nothing is ever overwritten"),
        ("DROP TABLE parts", "There is no table public.parts_1 in copy"),
        ('ALTER TABLE "Users" DROP COLUMN "full, name"', "public.Users in copy has no column full, name"),
        ('DROP TABLE "Users" CASCADE; CREATE VIEW "Users" AS SELECT 1 AS id', "public.Users in copy is no ordinary table"),
    ],
)  # fmt: skip
def test_tables_that_are_not_ready(stage: Stage, statement: str, words: str) -> None:
    """A table that has a row, is missing, lacks a column or is none: refused when it is planned, and named."""
    sql(stage.server, statement, dbname="copy")
    said = refusal(stage.plan("copy"))
    assert said["code"] == "tables-not-ready"
    assert words in said["message"]


def test_a_role_that_is_no_superuser(stage: Stage, tmp_path: Path) -> None:
    """Rows of children before those of their parents are refused when it is planned; in two requests they all arrive."""
    for statement in (
        "CREATE ROLE filler LOGIN",
        "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO filler",
        "GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO filler",
    ):
        sql(stage.server, statement, dbname="copy")
    here, own = stage.here, tmp_path / "pitstop.toml"
    dsn = stage.server.dsn(user="filler").replace('"', '\\"')
    own.write_text(
        here.config_path.read_text().replace("[clusters.slips]\n", f'[clusters.slips]\nrestore_dsn = "{dsn}"\n')
    )
    config, _ = load(own)
    limited = Stage(replace(here, config=config, config_path=own))
    limited.server = stage.server
    refused = limited.plan("copy", "Orders", "Users")
    assert (refused.state, (refused.outcome or {}).get("code")) == (State.REFUSED, "foreign-key-order")
    assert "public.Orders come before those of public.Users" in (refused.outcome or {})["message"]
    for tables in (("Users",), ("Orders", "parts")):
        done = execute(limited.here, limited.agreed(Wanted(part=Part.DATA_ONLY, tables=tables), "copy").id)
        assert done.state is State.SUCCEEDED, done.outcome
    assert stage.rows("copy") == [300, 900, 40]
    sql(stage.server, "DROP OWNED BY filler; DROP ROLE filler", dbname="copy")


def test_a_database_that_is_missing(stage: Stage) -> None:
    """Rows alone make no database."""
    assert "There is no database nowhere" in refusal(stage.plan("nowhere"))["message"]


def test_a_row_between_plan_and_start_makes_it_void(stage: Stage) -> None:
    """Somebody wrote a row while the request waited: nothing is done, and theirs is the only one."""
    request = stage.agreed(Wanted(part=Part.DATA_ONLY), "copy")
    sql(stage.server, "INSERT INTO parts VALUES (1)", dbname="copy")
    void = execute(stage.here, request.id)
    assert void.state is State.VOID
    assert "has rows already" in (void.outcome or {})["message"]
    assert stage.rows("copy") == [0, 0, 1]


def test_a_statement_that_fails(stage: Stage) -> None:
    """A constraint of the existing table turns rows down: FAILED, the other tables are empty again, the database is there."""
    sql(stage.server, "ALTER TABLE parts ADD CHECK (n < 40)", dbname="copy")
    oid = stage.oid("copy")
    done = execute(stage.here, stage.agreed(Wanted(part=Part.DATA_ONLY), "copy").id)
    assert done.state is State.FAILED
    assert "violates check constraint" in (done.outcome or {})["message"]
    assert stage.rows("copy") == [0, 0, 0]
    assert stage.oid("copy") == oid


def test_killed_and_taken_up_again(stage: Stage) -> None:
    """Killed before the commit the tables are empty and the database is there; taken up again, every row arrives, once."""
    oid = stage.oid("copy")
    request = stage.agreed(Wanted(part=Part.DATA_ONLY), "copy")
    with stage.held("copy"):
        stage.start(request.id)
        wait_for(lambda: stage.waiting("copy"), timeout_s=60, what="pg_restore at the held table")
        stage.kill(stage.executor(request.id))
        assert stage.rows("copy") == [0, 0, 0]
    done = stage.until_ended(request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert stage.rows("copy") == [300, 900, 40]
    assert stage.oid("copy") == oid


def test_killed_after_the_commit(stage: Stage) -> None:
    """Killed between the commit and the report: the rows are found, counted, and not put in again."""
    request = stage.agreed(Wanted(part=Part.DATA_ONLY), "copy")
    with stage.held("copy"):
        stage.start(request.id)
        wait_for(lambda: stage.waiting("copy"), timeout_s=60, what="pg_restore at the held table")
        blocked = stage.here.ledger.transaction()  # the report cannot be written
        blocked.__enter__()
    try:
        wait_for(lambda: stage.rows("copy") == [300, 900, 40], timeout_s=60, what="the rows")
        stage.kill(stage.executor(request.id))
    finally:
        blocked.__exit__(None, None, None)
    done = stage.until_ended(request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert stage.rows("copy") == [300, 900, 40]


def test_cancelled(stage: Stage) -> None:
    """Cancelled before the commit: the tables are empty and the database is there, also when the executor dies of it."""
    oid = stage.oid("copy")
    request = stage.agreed(Wanted(part=Part.DATA_ONLY), "copy")
    with stage.held("copy"):
        stage.start(request.id)
        wait_for(lambda: stage.waiting("copy"), timeout_s=60, what="pg_restore at the held table")
        stage.cancel(get(stage.here, request.id))
        stage.kill(stage.executor(request.id))
    assert stage.until_ended(request.id).state is State.CANCELLED
    assert stage.rows("copy") == [0, 0, 0]
    assert stage.oid("copy") == oid


def test_rows_that_differ_stay_and_are_told(stage: Stage) -> None:
    """A row of somebody else's comes in after the last look: FAILED, with where the rows are, and none is taken away."""
    request = stage.agreed(Wanted(part=Part.DATA_ONLY), "copy")
    with psycopg.connect(stage.server.dsn(dbname="copy")) as theirs:
        theirs.execute(
            "INSERT INTO parts VALUES (1)"
        )  # not committed, so nobody sees it, and pg_restore waits behind it
        stage.start(request.id)
        wait_for(lambda: stage.waiting("copy"), timeout_s=60, what="pg_restore at the held table")
    failed = stage.until_ended(request.id)
    assert failed.state is State.FAILED
    assert "parts_1 has 41 rows, and the dump counted 40" in (failed.outcome or {})["message"]
    assert "stay there" in (failed.outcome or {})["hint"]
    assert stage.rows("copy") == [300, 900, 41]


def test_a_dump_of_rows_alone(stage: Stage) -> None:
    """A dump without definitions comes back whole into empty tables, and in no other way."""
    rows = stage.here.run(Job.DUMP, part="data-only")["id"]
    assert refusal(stage.plan("new", part=Part.FULL, backup=rows))["code"] == "rows-alone"
    assert refusal(stage.plan("copy", "Users", backup=rows))["code"] == "rows-alone"
    done = execute(stage.here, stage.agreed(Wanted(rows, part=Part.DATA_ONLY), "copy").id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert stage.rows("copy") == [300, 900, 40]


def test_columns_of_a_copy_statement() -> None:
    """Quoted names with commas, brackets and quotes in them are read as the names they are."""
    assert columns('COPY public."a (b" (id, "x, ""y"") z", n) FROM stdin;\n') == ["id", 'x, "y") z', "n"]
    assert columns("COPY public.none  FROM stdin;\n") == []
