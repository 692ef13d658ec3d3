"""What is told of a recovered copy: exact rows of every table whatever it is called, and what SQL checks say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bot.host.accounts import Account
from bot.model.sql_checks import SqlCheck
from bot.model.targets import ResolvedTarget
from bot.model.wal import Lsn
from bot.postgres.access import grant_access
from bot.postgres.isolated import IsolatedServer
from bot.postgres.plain import PlainServer
from bot.postgres.recovery import recover
from bot.postgres.row_counts import UNLOGGED, TableRows, count_tables, databases_of, in_doubt
from bot.postgres.sql_checks import run_check
from tests.restores import KEEP_WAL, take_small_backup
from tests.servers import PlainServerFactory

pytestmark = pytest.mark.pg
OWN = "-c statement_timeout=0 -c search_path=public -c default_transaction_read_only=off -c role=none"
NAMES = ['"', "'; DROP TABLE log; --", "ночь 夜 🌙", "a.b\\c\n\td", "SELECT", "%s {} $1", "x" * 63]


@pytest.fixture
def copy(plain_server: PlainServerFactory, server_user: Account, tmp_path: Path) -> Iterator[IsolatedServer]:
    """A recovered copy of a server with tables of every kind and of names that nobody should use."""
    source = plain_server(18, settings={**KEEP_WAL, "max_prepared_transactions": "5"})
    backup = take_small_backup(source, tmp_path / "copy")
    target = _fill(source)
    with backup.prepared(target, server_user) as (server, service):
        recover(server, target=target, wal=service)
        yield server


def _fill(source: PlainServer) -> ResolvedTarget:
    with psycopg.connect(source.dsn(), autocommit=True) as connection:
        for database in ("we\"ird ' db", "latin", "bytes"):
            encoding = {"latin": "LATIN1", "bytes": "SQL_ASCII"}.get(database, "UTF8")
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'").format(
                    sql.Identifier(database), encoding
                )
            )
        connection.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        connection.execute("CREATE EXTENSION file_fdw")
        connection.execute("CREATE SERVER files FOREIGN DATA WRAPPER file_fdw")
        connection.execute("CREATE FOREIGN TABLE away (x text) SERVER files OPTIONS (program 'touch /tmp/was-read')")
        for statement in (
            "CREATE UNLOGGED TABLE quick AS SELECT generate_series(1, 9)",
            "CREATE TABLE parent (n int); CREATE TABLE child () INHERITS (parent); INSERT INTO child VALUES (1), (2)",
            "CREATE TABLE parts (n int) PARTITION BY RANGE (n); CREATE TABLE part PARTITION OF parts DEFAULT",
            "INSERT INTO parts SELECT generate_series(1, 5)",
            "CREATE TABLE secret (n int); INSERT INTO secret VALUES (1)",
            "ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY",
            "CREATE SCHEMA evil; CREATE FUNCTION evil.count() RETURNS bigint LANGUAGE sql AS 'SELECT 666'",
            "CREATE MATERIALIZED VIEW seen AS SELECT 1; CREATE VIEW window_ AS SELECT 1",
            "CREATE TABLE held (n int); INSERT INTO held VALUES (1)",
        ):
            connection.execute(statement.encode())
        connection.execute("ALTER DATABASE postgres SET search_path = evil, pg_catalog, public")
        connection.execute("ALTER DATABASE postgres SET statement_timeout = 1")
        connection.execute("ALTER ROLE postgres SET default_transaction_read_only = on")
        connection.execute("CREATE ROLE nobody_at_all")
        connection.execute("ALTER ROLE postgres SET role = nobody_at_all")
    with psycopg.connect(source.dsn("we\"ird ' db"), autocommit=True, options=OWN) as connection:
        for number, name in enumerate(NAMES):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
            table = sql.Identifier(name, name)
            connection.execute(sql.SQL("CREATE TABLE {} AS SELECT generate_series(1, {})").format(table, number))
    with psycopg.connect(source.dsn("latin"), autocommit=True, options=OWN) as connection:
        connection.execute('CREATE TABLE "caf\u00e9" AS SELECT 1 AS n')
    with psycopg.connect(source.dsn("bytes"), autocommit=True, client_encoding="SQL_ASCII", options=OWN) as connection:
        connection.execute(b'CREATE TABLE "caf\xe9" AS SELECT 1 AS n')
    with psycopg.connect(source.dsn(), options=OWN) as connection:
        connection.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        connection.execute("PREPARE TRANSACTION 'undecided'")
    with psycopg.connect(source.dsn(), options=OWN) as connection:
        row = connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
    assert row is not None
    return ResolvedTarget(timeline=1, lsn=Lsn.parse(row[0]), record_exists=False)


def _never() -> bool:
    return False


def _counts(server: IsolatedServer, name: str) -> dict[str, TableRows]:
    database = next(database for database in databases_of(server) if database.name == name)
    return {found.table: found for found in count_tables(server, database, limit_s=60, cancelled=_never)}


def test_a_copy_is_counted_and_checked(copy: IsolatedServer) -> None:
    """Every table is counted, whatever its name, encoding or rules; what cannot be counted says so; checks cannot write.

    What the copy's databases and roles set for all sessions (a search path with a `count` of its own, a timeout, another role)
    steers neither recovery nor counting.
    """
    with psycopg.connect(grant_access(copy, "oncall")) as people:
        assert people.execute("SELECT 1").fetchone() == (1,)
    assert "closed" not in [database.name for database in databases_of(copy)]
    assert {name: found.rows for name, found in _counts(copy, "we\"ird ' db").items()} == {
        name: number for number, name in enumerate(NAMES)
    }
    assert _counts(copy, "latin")["caf\u00e9"].rows == 1
    assert _counts(copy, "bytes")["caf\\xe9"].rows == 1
    found = _counts(copy, "postgres")
    assert {name: table.rows for name, table in found.items() if name != "held"} == {
        "quick": 0, "parent": 0, "child": 2, "part": 5, "secret": 1,
    }  # fmt: skip
    assert found["quick"].note == UNLOGGED
    assert found["held"].rows is None
    assert "lock timeout" in found["held"].note
    assert in_doubt(copy) == 1
    late = count_tables(copy, databases_of(copy)[-1], limit_s=0.001, cancelled=_never)
    assert all(table.rows is None and table.note.startswith("not counted") for table in late)
    _check_checks(copy)


def _check_checks(copy: IsolatedServer) -> None:
    def check(statement: str, expect: str | None = None, database: str = "latin") -> tuple[bool, str]:
        return run_check(copy, SqlCheck("check", database, statement, expect), cancelled=_never)

    assert check("SELECT count(*) FROM café", "1") == (True, "1, as expected")
    assert check("SELECT 0", "0") == (True, "0, as expected")
    assert check("SELECT 2", "1") == (False, "2 instead of 1")
    assert check("SELECT NULL", "") == (False, "NULL instead of ")
    assert check("SELECT 7") == (True, "7")
    assert check("SELECT 1 WHERE false") == (False, "no row")
    assert check("SELECT 1/0") == (False, "division by zero")
    assert "read-only" in check("DELETE FROM café")[1]
    assert not check("SELECT 1", database="nowhere")[0]
    began = time.monotonic()
    stopped = run_check(copy, SqlCheck("c", "latin", "SELECT pg_sleep(100)", None), cancelled=lambda: True)
    assert not stopped[0]
    assert time.monotonic() - began < 60
