"""`pitstop restore` against a real server: the plan, the answer, the refusals and their exit codes."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from bot.model.runs import Job
from bot.postgres.isolated import remove_directory
from tests.commands import pitstop
from tests.jobs import install
from tests.recoveries import RIGHTS
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


def test_the_command_line(plain_server: PlainServerFactory, tmp_path: Path, server_home: Path) -> None:
    """A dry run shows the plan and leaves nothing; then tables come back, and what is wrong is refused with its exit code."""
    server = plain_server(16)
    execute(server, 'CREATE TABLE "Orders" AS SELECT generate_series(1, 120) AS n')
    execute(server, "CREATE DATABASE desk")
    extra = {**RIGHTS, "databases": '["postgres"]'}
    here = install(tmp_path / "pitstop", server, extra, f'[restore]\ndirectory = "{server_home}/restores"')
    dump = here.run(Job.DUMP)["id"]
    base = here.run(Job.BASE_BACKUP)["id"]

    def restore(*words: str) -> tuple[int, dict[str, object]]:
        said = pitstop("restore", "slips", *words, "--json", config=here.config_path)
        return said.code, said.json

    code, shown = restore("--into-database", "again", "--dry-run")
    assert code == 0, shown
    steps = shown["steps"]
    assert isinstance(steps, dict)
    assert steps["destination"] == {"kind": "database", "database": "again"}
    assert steps["chain"][0]["backup"] == dump
    assert execute(server, "SELECT count(*) FROM pg_database WHERE datname = 'again'") == [(0,)]

    code, done = restore("--into-schema", "desk.rescued", "--table", "Orders", "--reason", "look at it")
    assert code == 0, done
    assert (done["database"], done["schema"], done["backup"]) == ("desk", "rescued", dump)
    assert done["chosen_tables"] == ["public.Orders"]
    with psycopg.connect(str(done["dsn"])) as connection:
        assert connection.execute('SELECT count(*) FROM rescued."Orders"').fetchone() == (120,)
    code, same = restore("--request", str(done["request"]))
    assert (code, same["database"]) == (0, "desk")
    again = pitstop("restore", "slips", "--request", str(done["request"]), config=here.config_path).out
    assert f"Restored 1 table of postgres from {dump}" in again
    one = pitstop("restore", "slips", "--table", "Orders", "--into-database", "x", "--dry-run", config=here.config_path)
    assert "wanted       Orders of the newest dump" in one.out
    assert "database     postgres: 1 table, 120 rows" in one.out

    for words, exit_code, reason in (
        (("--into-database", "postgres", "--dry-run"), 3, "destination-taken"),
        (("--into-database", "x", "--table", "Order", "--dry-run"), 2, "unknown-table"),
        (("20261122T023000Z-dump-0000", "--into-database", "x", "--dry-run"), 2, "unknown-backup"),
        (("--dry-run",), 2, "no-destination"),
        (("--into-database", "x", "--into-schema", "a.b", "--dry-run"), 2, "no-destination"),
        (("--into-schema", "rescued", "--dry-run"), 2, "bad-schema"),
        (("--into-database", "x", "--schema-only", "--data-only", "--dry-run"), 2, "which-part"),
        (("--into-database", "x"), 2, "no-reason"),
    ):
        code, said = restore(*words)
        error = said["error"]
        assert isinstance(error, dict)
        assert error["code"] == reason, (words, error)
        assert error["hint"]
        assert code == exit_code, (words, code)

    whole = server_home / "whole"
    try:
        code, beside = restore(base, "--into-directory", str(whole), "--reason", "compare")
        assert code == 0, beside
        assert beside["directory"] == str(whole)
        with psycopg.connect(str(beside["dsn"])) as connection:
            assert connection.execute('SELECT count(*) FROM "Orders"').fetchone() == (120,)
    finally:
        remove_directory(whole)
