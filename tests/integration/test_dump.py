"""Dumps of real servers: what is stored, that it restores, and what is refused with which words."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot import desk
from bot.errors import Conflict, Usage
from bot.model.ids import BackupId
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.postgres.binaries import find_client
from bot.postgres.plain import PlainServer
from bot.repository.examine import examine
from jobs.context import utc_now
from jobs.plan.window import measured_window
from tests.commands import Typed
from tests.jobs import CLUSTER, Installation, install
from tests.roles import observed
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


def load(here: Installation, server: PlainServer, result: dict[str, Any], archive: str, dbname: str) -> None:
    """Restore an archive into a database that exists."""
    repository = here.repository()
    content = b"".join(repository.read_archive(repository.manifest(BackupId(result["id"])), archive))
    tool = find_client(("pg_restore",), at_least=server.binaries.major).tool("pg_restore")
    done = subprocess.run(
        [tool, "--exit-on-error", "-d", server.dsn(dbname)], input=content, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def load_in_parallel(here: Installation, server: PlainServer, result: dict[str, Any], file: Path, dbname: str) -> None:
    """Restore the first database's archive out of a file, with two sessions at once."""
    repository = here.repository()
    file.write_bytes(b"".join(repository.read_archive(repository.manifest(BackupId(result["id"])), "db-0")))
    tool = find_client(("pg_restore",), at_least=server.binaries.major).tool("pg_restore")
    argv = [str(tool), "--exit-on-error", "--jobs=2", "-d", server.dsn(dbname), str(file)]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("major", [15, 16, 18])
def test_a_dump_restores(plain_server: PlainServerFactory, tmp_path: Path, major: int) -> None:
    """A database with awkward names and a large object goes through dump and pg_restore, and all its rows are equal.

    The counts beside it are those of the tables; the repository is sound; the globals are SQL with the roles. Out of a file
    it restores in parallel too.
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
    execute(server, "CREATE DATABASE again TEMPLATE template0")
    load(here, server, result, "db-0", "again")
    for table in TABLES:
        assert execute(server, HASHES.format(table), dbname="again") == execute(server, HASHES.format(table)), table
    assert execute(server, "SELECT lo_get(4711)", dbname="again") == [(b"a large object",)]
    assert execute(server, 'INSERT INTO "Transactions" (note) VALUES (1) RETURNING "Id"', dbname="again") == [(3001,)]
    execute(server, "CREATE DATABASE parallel TEMPLATE template0")
    load_in_parallel(here, server, result, tmp_path / "db-0", "parallel")
    assert execute(server, HASHES.format('"Transactions"'), dbname="parallel") == execute(
        server, HASHES.format('"Transactions"')
    )
    manifest = here.repository().manifest(BackupId(result["id"]))
    sql = b"".join(here.repository().read_archive(manifest, "globals")).decode()
    assert 'CREATE ROLE "a role\'s name";' in sql


def test_parts_and_tables(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Schema only has no rows, data only no definitions; chosen tables come exactly, with their partitions, and no lookalike.

    A name with quotes, dots and wildcards in it names itself alone.
    """
    server = plain_server(18)
    fill(server)
    here = install(tmp_path / "pitstop", server)
    schema = here.run(Job.DUMP, part="schema-only")
    assert set(counts(here, schema).values()) == {None}
    assert body(here, schema)["databases"][0]["large_objects"] is None
    assert "TABLE DATA" not in contents(here, server, schema)
    data = here.run(Job.DUMP, part="data-only")
    assert counts(here, data)["public.Transactions"] == 3000
    assert {line.split()[3] for line in contents(here, server, data).splitlines() if " TABLE " in line} == {"TABLE"}
    assert "TABLE DATA" in contents(here, server, data)
    some = here.run(Job.DUMP, tables=["Transactions", 'Odd.Schema.ta"b*l.e', "public.parts"])
    assert set(counts(here, some)) == {
        "public.Transactions", 'Odd.Schema.ta"b*l.e', "public.parts", "public.parts_1", "public.parts_2",
    }  # fmt: skip
    restored = contents(here, server, some)
    assert "transactions" not in restored
    assert 'TABLE DATA Odd.Schema ta"b*l.e' in restored
    rest = here.run(Job.DUMP, exclude_tables=["parts", "public.ตาราง?"])
    assert set(counts(here, rest)) == {
        "public.Transactions", "public.transactions", "public.scratch", 'Odd.Schema.ta"b*l.e',
    }  # fmt: skip
    assert "parts" not in contents(here, server, rest).replace("v postgres", "")


def contents(here: Installation, server: PlainServer, result: dict[str, Any]) -> str:
    """Return pg_restore's list of the first database's archive, without its comments."""
    repository = here.repository()
    archive = b"".join(repository.read_archive(repository.manifest(BackupId(result["id"])), "db-0"))
    tool = find_client(("pg_restore",), at_least=server.binaries.major).tool("pg_restore")
    done = subprocess.run([tool, "--list"], input=archive, capture_output=True, check=True)
    return "\n".join(line for line in done.stdout.decode().splitlines() if not line.startswith(";"))


def test_every_database_or_the_configured_ones(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """All databases that take connections are dumped, or those configured, or those asked for; each in an archive of its own."""
    server = plain_server(18)
    for name in ("SlipVerificationDb", "it's = \\odd\" name", "closed"):
        execute(server, 'CREATE DATABASE "{}"'.format(name.replace('"', '""')))
    execute(server, "CREATE TABLE t AS SELECT 1 AS n", dbname="it's = \\odd\" name")
    execute(server, "ALTER DATABASE closed ALLOW_CONNECTIONS false")
    here = install(tmp_path / "pitstop", server)
    everything = here.run(Job.DUMP)
    named = [database["name"] for database in body(here, everything)["databases"]]
    assert named == sorted(["SlipVerificationDb", "it's = \\odd\" name", "postgres"])
    assert [one["archive"] for one in body(here, everything)["databases"]] == ["db-0", "db-1", "db-2"]
    here = install(tmp_path / "pitstop", server, {"databases": '["SlipVerificationDb"]'})
    assert [one["name"] for one in here.run(Job.DUMP)["databases"]] == ["SlipVerificationDb"]
    asked = here.run(Job.DUMP, databases=["it's = \\odd\" name"])
    assert asked["databases"] == [{"name": "it's = \\odd\" name", "tables": 1, "rows": 1}]
    some = here.run(Job.DUMP, databases=["postgres", "it's = \\odd\" name"], tables=["t"])
    assert [one["name"] for one in some["databases"]] == ["it's = \\odd\" name"]
    for name, code in (("slipverificationdb", "unknown-database"), ("closed", "closed-database")):
        with pytest.raises(Usage) as refused:
            here.run(Job.DUMP, databases=[name])
        assert refused.value.reason_code == code
    assert "closed" in refused.value.hint
    with pytest.raises(Usage, match="There is no table “Tt”") as unknown:
        here.run(Job.DUMP, databases=["it's = \\odd\" name"], tables=["Tt"])
    assert unknown.value.hint == "Did you mean public.t?"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_other_encodings(plain_server: PlainServerFactory, tmp_path: Path, encoding: str) -> None:
    """Names are matched in the database's own encoding, and bytes that are no text of any encoding stay themselves."""
    server = plain_server(16)
    execute(server, f"CREATE DATABASE other ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    with psycopg.connect(server.dsn("other"), client_encoding="UTF8", autocommit=True) as connection:
        connection.execute('CREATE TABLE "Größe" AS SELECT g AS n FROM generate_series(1, 5) g')
        connection.execute('CREATE TABLE "Große" AS SELECT 1 AS n')
        if encoding == "SQL_ASCII":
            connection.execute(r"CREATE TABLE u AS SELECT convert_from('\xfffe', 'SQL_ASCII') AS t")
    here = install(tmp_path / "pitstop", server, {"databases": '["other"]'})
    some = here.run(Job.DUMP, tables=["Größe"])
    assert counts(here, some) == {"public.Größe": 5}
    whole = here.run(Job.DUMP)
    assert counts(here, whole)["public.Große"] == 1
    assert body(here, whole)["databases"][0]["encoding"] == encoding
    execute(server, f"CREATE DATABASE made ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    load(here, server, whole, "db-0", "made")
    with psycopg.connect(server.dsn("made"), client_encoding="UTF8") as connection:
        assert connection.execute('SELECT count(*) FROM "Größe"').fetchall() == [(5,)]
        if encoding == "SQL_ASCII":
            assert connection.execute("SELECT convert_to(t, 'SQL_ASCII') FROM u").fetchall() == [(b"\xff\xfe",)]


def test_settings_of_roles_and_databases_do_not_reach_a_dump(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Time-outs, search path, role, encoding and isolation set for the role and the database neither stop nor steer it."""
    server = plain_server(18)
    fill(server)
    execute(server, "CREATE ROLE weak")
    settings = (
        "statement_timeout = '1ms'", "transaction_timeout = '300ms'", "idle_in_transaction_session_timeout = '10ms'",
        "lock_timeout = '1ms'", "search_path = nowhere", "role = weak", "client_encoding = 'LATIN1'",
        "default_transaction_isolation = 'serializable'", "row_security = on", "DateStyle = 'SQL, DMY'",
    )  # fmt: skip
    statements = [f"ALTER ROLE postgres IN DATABASE postgres SET {setting}" for setting in settings]
    execute(server, "; ".join(statements))
    here = install(tmp_path / "pitstop", server)
    result = here.run(Job.DUMP)
    assert counts(here, result)["public.Transactions"] == 3000


def test_rows_hidden_by_row_level_security(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A role that would see only some rows dumps nothing, and is told the line that lets it see all; with it, all are there."""
    there = observed(plain_server(18), tmp_path / "pitstop")
    server, here = there.server, there.here
    execute(server, "CREATE TABLE secrets AS SELECT g AS n FROM generate_series(1, 10) g")
    execute(server, "ALTER TABLE secrets ENABLE ROW LEVEL SECURITY")
    execute(server, "ALTER ROLE pitstop_observe NOBYPASSRLS")
    with pytest.raises(Usage) as refused:
        here.run(Job.DUMP)
    assert refused.value.reason_code == "right-bypass-rls"
    assert "public.secrets" in refused.value.message
    assert left_behind(here) == []
    there.paste(refused.value.hint)
    assert counts(here, here.run(Job.DUMP)) == {"public.secrets": 10}


def test_rights_that_are_missing(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """The README's observing role dumps all but passwords and foreign large objects; each missing right comes with its line.

    `check` prints the same lines before a dump does.
    """
    there = observed(plain_server(16), tmp_path / "pitstop")
    server, here = there.server, there.here
    fill(server)
    execute(server, "REVOKE pg_read_all_data FROM pitstop_observe")
    with pytest.raises(Usage) as refused:
        here.run(Job.DUMP)
    assert refused.value.reason_code == "right-pg-read-all-data"
    assert "databases cannot be dumped" in there.bad()["right-pg-read-all-data"].sentence
    there.paste(refused.value.hint)
    with pytest.raises(Usage) as refused:
        here.run(Job.DUMP)
    assert refused.value.reason_code == "right-large-objects"
    assert there.bad()["right-large-objects"].fix.startswith(refused.value.hint.partition(";--")[0][:60])
    execute(server, refused.value.hint.partition(" -- ")[0])
    assert "right-large-objects" not in there.bad()
    result = here.run(Job.DUMP)
    assert result["globals_passwords"] is False
    assert "Roles were dumped without passwords: pitstop_observe is no superuser." in result["warnings"]
    manifest = here.repository().manifest(BackupId(result["id"]))
    assert "PASSWORD" not in b"".join(here.repository().read_archive(manifest, "globals")).decode()
    execute(server, "CREATE DATABASE mine; ")
    execute(server, "REVOKE CONNECT ON DATABASE mine FROM PUBLIC")
    with pytest.raises(Usage) as refused:
        here.run(Job.DUMP)
    assert refused.value.hint == 'GRANT CONNECT ON DATABASE "mine" TO "pitstop_observe";'


def test_another_role_for_dumps(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """`dump_dsn` names a role of its own: with a superuser's the passwords are in the globals."""
    server = plain_server(18)
    execute(server, "CREATE ROLE somebody LOGIN PASSWORD 'x'")
    extra = {"dump_dsn": f'"host={server.socket_dir} port={server.port} user=postgres"'}
    there = observed(server, tmp_path / "pitstop", extra=extra)
    result = there.here.run(Job.DUMP)
    assert result["globals_passwords"] is True
    manifest = there.here.repository().manifest(BackupId(result["id"]))
    assert "SCRAM-SHA-256$" in b"".join(there.here.repository().read_archive(manifest, "globals")).decode()


def test_foreign_tables_are_not_read(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A foreign table whose server is away stops no dump; its definition is in it, its rows are neither read nor counted."""
    server = plain_server(15)
    execute(server, "CREATE EXTENSION postgres_fdw")
    execute(server, "CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/nowhere')")
    execute(server, "CREATE USER MAPPING FOR postgres SERVER away")
    execute(server, "CREATE FOREIGN TABLE far (n int) SERVER away")
    execute(server, "CREATE TABLE near AS SELECT 1 AS n")
    here = install(tmp_path / "pitstop", server)
    result = here.run(Job.DUMP)
    tables = body(here, result)["databases"][0]["tables"]
    assert [(table["name"], table["kind"], table["rows"]) for table in tables] == [
        ("far", "foreign", None),
        ("near", "table", 1),
    ]
    assert "FOREIGN TABLE public far" in contents(here, server, result)


def left_behind(here: Installation) -> list[Path]:
    """Return the objects of backups in the repository."""
    return [path for path in (here.home / "repository").rglob("*-dump-*/**/*") if path.is_file()]


def test_on_the_command_line(plain_server: PlainServerFactory, tmp_path: Path, typed: Typed) -> None:
    """`pitstop backup dump` waits and answers; `list` and `status` show the dump; wrong words are refused and change nothing."""
    server = plain_server(18)
    fill(server)
    here = install(tmp_path / "pitstop", server)
    made = typed("backup", "dump", "slips", "--table", "Transactions", "--json", config=here.config_path)
    assert made.code == 0, made.err
    assert made.json["databases"] == [{"name": "postgres", "tables": 1, "rows": 3000}]
    assert made.json["kind"] == "dump"
    listed = typed("list", "slips", "--json", config=here.config_path).json
    assert [(one["id"], one["kind"]) for one in listed["backups"]] == [(made.json["id"], "dump")]
    assert listed["recovery_window"] == []
    status = typed("status", "--json", config=here.config_path).json["clusters"]["slips"]
    assert (status["last_dump"], status["last_backup"]) == (None, None), "one table is no dump of the cluster"
    whole = typed("backup", "dump", "slips", "--json", config=here.config_path).json["id"]
    status = typed("status", "--json", config=here.config_path).json["clusters"]["slips"]
    assert status["last_dump"]["id"] == whole
    said = typed("status", config=here.config_path).out
    assert f"last dump    {whole}" in said
    assert "last backup  none yet: `pitstop backup base slips`" in said
    for words, code in (
        (("--schema-only", "--data-only"), "usage"),
        (("--table", "transaction"), "unknown-table"),
        (("--database", "postgrse"), "unknown-database"),
        (("--table", "Transactions", "--exclude-table", "Transactions"), "nothing-chosen"),
    ):
        refused = typed("backup", "dump", "slips", *words, "--json", config=here.config_path)
        assert (refused.code, refused.json["error"]["code"]) == (2, code)
        assert refused.json["error"]["hint"]
    after = typed("status", "--json", config=here.config_path).json
    assert after["alerts"] == [], "what was typed wrongly is no alert"
    assert after["clusters"]["slips"]["last_dump_attempt"]["state"] == "succeeded"
    assert {one.id for one in here.repository().backups()} == {made.json["id"], whole}


def test_what_the_configuration_leaves_out(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """`dump.exclude_tables` holds for dumps on schedule; a table that is gone since is told, and stops nothing."""
    server = plain_server(18)
    fill(server)
    here = install(tmp_path / "pitstop", server, {"dump": '{ exclude_tables = ["public.parts", "public.gone"] }'})
    result = here.run(Job.DUMP)
    assert not [name for name in counts(here, result) if "parts" in name]
    assert "public.gone, left out by dump.exclude_tables, is in no database." in result["warnings"]


def test_a_dump_and_a_base_backup_at_once(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Both go on side by side into one repository, and a recovery begins from the base backup, whichever is newer."""
    server = plain_server(18)
    fill(server)
    here = install(tmp_path / "pitstop", server)
    _, base = here.spawn(Job.BASE_BACKUP)
    result = here.run(Job.DUMP)
    assert base.wait(120) == 0
    newer = here.run(Job.DUMP)
    backups = here.repository().backups()
    assert sorted(backup.kind for backup in backups) == ["base", "dump", "dump"]
    assert {result["id"], newer["id"]} < {backup.id for backup in backups}
    with pytest.raises(Conflict, match="a dump of slips cannot begin before another one"):
        twice = here.queue(Job.DUMP)
        try:
            here.queue(Job.DUMP)
        finally:
            desk.cancel_run(here.ledger, twice.id, utc_now())
    window = measured_window(here.config, here.ledger, CLUSTER)
    assert len(window) == 1


def test_a_standby_can_be_dumped(plain_server: PlainServerFactory, server_home: Path, tmp_path: Path) -> None:
    """A standby is dumped like its primary; unlogged tables, of which it has no rows, are said not to be counted."""
    primary = plain_server(15)
    fill(primary)
    primary.stop()
    home = server_home / "standby"
    home.mkdir()
    (home / "socket").mkdir(mode=0o700)
    shutil.chown(home / "socket", primary.account.uid, primary.account.gid)
    subprocess.run(["cp", "-a", str(primary.data_directory), str(home / "data")], check=True)
    (home / "data" / "standby.signal").touch()
    with PlainServer.start(
        primary.binaries, home / "data", primary.account, socket_dir=home / "socket", log=home / "server.log"
    ) as standby:
        assert execute(standby, "SELECT pg_is_in_recovery()") == [(True,)]
        here = install(tmp_path / "pitstop", standby)
        result = here.run(Job.DUMP)
    counted = counts(here, result)
    assert counted["public.Transactions"] == 3000
    assert counted["public.scratch"] is None
    [note] = [one["note"] for one in body(here, result)["databases"][0]["tables"] if one["name"] == "scratch"]
    assert note == "unlogged: a standby has no rows of it"
    assert result["timeline"] == 1
    assert Lsn.parse(result["start_lsn"]) > 0
