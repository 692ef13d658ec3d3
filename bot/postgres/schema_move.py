"""Gather everything that a database holds in one new schema, and copy that schema into another database in one transaction.

Tables come out of an archive with the schema they had. So they are restored into a database of their own first, moved there
with ALTER … SET SCHEMA (which takes indexes, constraints, triggers and owned sequences along and rewrites no text), and copied
by pg_dump and pg_restore: what appears in the other database appears whole, or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from bot.host.children import Child
from bot.postgres.binaries import Binaries
from bot.postgres.connect import Connection, connect, quote_ident, quote_literal
from bot.postgres.dump_session import DumpSession
from bot.postgres.maintenance import translated
from bot.postgres.restore_program import LOOK_EVERY_S, failure, finish, restoring

# Types, functions and the like first: what is left in place for a table to stand on would be looked for in the other database.
_MOVABLE = """
WITH ours AS (
  SELECT oid FROM pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_' AND nspname <> %s
), found AS (
  SELECT 'pg_type'::regclass AS class, t.oid, 1 AS rank FROM pg_type t JOIN ours ON ours.oid = typnamespace
    LEFT JOIN pg_class c ON c.oid = typrelid
   WHERE typtype IN ('e', 'd', 'r', 'b') AND typelem = 0 OR c.relkind = 'c'
  UNION ALL SELECT 'pg_collation'::regclass, c.oid, 1 FROM pg_collation c JOIN ours ON ours.oid = collnamespace
  UNION ALL SELECT 'pg_proc'::regclass, p.oid, 2 FROM pg_proc p JOIN ours ON ours.oid = pronamespace
  UNION ALL SELECT 'pg_operator'::regclass, o.oid, 2 FROM pg_operator o JOIN ours ON ours.oid = oprnamespace
  UNION ALL SELECT 'pg_ts_dict'::regclass, d.oid, 2 FROM pg_ts_dict d JOIN ours ON ours.oid = dictnamespace
  UNION ALL SELECT 'pg_ts_config'::regclass, c.oid, 2 FROM pg_ts_config c JOIN ours ON ours.oid = cfgnamespace
  UNION ALL SELECT 'pg_class'::regclass, c.oid, 3 FROM pg_class c JOIN ours ON ours.oid = relnamespace
   WHERE relkind IN ('r', 'p', 'f', 'v', 'm') OR (relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d
         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0))
  UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid, 4 FROM pg_statistic_ext s JOIN ours ON ours.oid = stxnamespace
)
SELECT i.type, i.identity FROM found, pg_identify_object(found.class, found.oid, 0) i
 WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = found.class AND d.objid = found.oid AND d.deptype IN ('e', 'i')
                   AND (d.refclassid, d.refobjid) <> (d.classid, d.objid))
 ORDER BY rank, 1, 2
"""
_SQL_WORDS = {"statistics object": "STATISTICS", "text search configuration": "TEXT SEARCH CONFIGURATION"}


def gather(session: DumpSession, schema: str, *, owner: str, comment: str) -> None:
    """Move everything in the session's database that no extension owns into the new schema `schema`.

    Raises:
        Failed: the server refused, for example two things of one name. Unavailable: it went away.
    """
    with translated(), connect(session.conninfo(), dbname=session.dbname) as connection, connection.transaction():
        name = quote_ident(schema)
        _run(connection, f"CREATE SCHEMA {name} AUTHORIZATION {quote_ident(owner)}")
        for kind, identity in connection.execute(_MOVABLE.encode(), [schema]).fetchall():
            _run(connection, f"ALTER {_SQL_WORDS.get(kind, kind.upper())} {identity} SET SCHEMA {name}")
        _run(connection, f"COMMENT ON SCHEMA {name} IS {quote_literal(comment)}")


def copy_schema(
    tools: Binaries,
    source: DumpSession,
    target: DumpSession,
    schema: str,
    *,
    on_bytes: Callable[[int], None],
    check: Callable[[], None],
) -> None:
    """Copy `schema` from the one database into the other, in one transaction. Slow.

    Raises:
        Failed: a statement failed, and nothing was changed. Unavailable: the server went away.
    """
    argv = [
        os.fspath(tools.tool("pg_dump")), "--format=custom", "--compress=0", "--no-password", "--schema=" + quote_ident(schema),
        "--dbname", source.program_conninfo(),
    ]  # fmt: skip
    with (
        Child(argv, env=source.program_environment()) as reader,
        restoring(tools, target, ["--single-transaction"]) as writer,
    ):
        done, taking = 0, True
        while (data := reader.read(LOOK_EVERY_S)) is None or len(data):
            check()
            rest = memoryview(b"") if data is None else data
            while len(rest) and taking:
                check()
                written = writer.write(rest, LOOK_EVERY_S)
                taking = written is not None
                rest = rest[written or 0 :]
                done += written or 0
            on_bytes(done)
            if not taking:
                break
        code, said = (0, "") if not taking else reader.wait()
        if code != 0:
            writer.kill()  # before its input ends: half a schema must not be taken for a whole one
            raise failure(code, said, schema)
        finish(writer, schema, check=check)


def _run(connection: Connection, statement: str) -> None:
    connection.execute(statement.encode("utf-8", "surrogateescape"))
