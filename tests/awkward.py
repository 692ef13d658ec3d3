"""A database with every awkward thing in it, and how two of them are compared: schema, rows, sequences, large objects."""

from __future__ import annotations

import re
import subprocess
from typing import Protocol

import psycopg

from bot.postgres.binaries import Binaries, find_client
from bot.postgres.plain import PlainServer

NAME = 'Odd "Slips" ตาราง'
"""A database's name in mixed case with quotes, a blank and letters of another script."""

ROLES = (
    "CREATE ROLE app LOGIN",
    'CREATE ROLE "Read Only"',
    "CREATE ROLE owner_of_things",
    "GRANT owner_of_things TO app",
)

EXTENSIONS = ("btree_gist", "citext", "hstore", "pg_trgm", "pgcrypto", "ltree", "intarray")
"""Shipped with the server; those that a build lacks are left out."""

STATEMENTS = (
    'CREATE SCHEMA "Odd.Schema" AUTHORIZATION owner_of_things',
    "CREATE SCHEMA sales",
    # types
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s \"fine\"')",
    "ALTER TYPE mood ADD VALUE 'happy' BEFORE 'ok'",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0) DEFAULT 7",
    "CREATE TYPE money_range AS RANGE (subtype = numeric)",
    "CREATE TYPE point3 AS (x float8, y float8, z float8)",
    "CREATE COLLATION by_bytes (provider = libc, locale = 'C')",
    # functions, also ones that stand on each other
    """CREATE FUNCTION sales.tax(amount numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT round(amount * 0.07, 2)'""",
    """CREATE FUNCTION "Odd.Schema".stamp() RETURNS trigger LANGUAGE plpgsql AS
       $$BEGIN NEW.note := coalesce(NEW.note, '') || ' stamped'; RETURN NEW; END$$""",
    "CREATE PROCEDURE nothing() LANGUAGE plpgsql AS $$BEGIN NULL; END$$",
    "CREATE AGGREGATE product(float8) (sfunc = float8mul, stype = float8, initcond = '1')",
    "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
    "CREATE CAST (point3 AS text) WITH INOUT AS ASSIGNMENT",
    # tables
    """CREATE TABLE "Users" ("Id" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "E-Mail" text UNIQUE NOT NULL,
       feeling mood DEFAULT 'ok', age positive, home point3, "ชื่อ" text)""",
    """INSERT INTO "Users" ("E-Mail", feeling, age, home, "ชื่อ")
       SELECT 'u' || g || '@example.test', (ARRAY['sad', 'happy', 'it''s "fine"']::mood[])[1 + g % 3], g,
              ROW(g, g / 3.0, 'NaN')::point3, repeat('ก', g % 9) FROM generate_series(1, 500) g""",
    """CREATE TABLE sales."Orders" (id serial PRIMARY KEY, user_id int NOT NULL, amount numeric(12, 2) NOT NULL,
       taxed numeric GENERATED ALWAYS AS (sales.tax(amount)) STORED, during tstzrange, note text, prices money_range,
       CONSTRAINT "amount > 0" CHECK (amount > 0),
       CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES "Users" ("Id") ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)""",
    """INSERT INTO sales."Orders" (user_id, amount, during, note, prices) SELECT 1 + g % 500, g + 0.37,
       tstzrange('2026-01-01'::timestamptz + g * '1 hour'::interval, '2026-01-01'::timestamptz + (g + 1) * '1 hour'::interval),
       E'tab\\there, line\\nbreak, back\\\\slash ' || md5(g::text), money_range(g, g + 10) FROM generate_series(1, 2000) g""",
    'ALTER TABLE sales."Orders" ADD CONSTRAINT not_yet CHECK (amount < 1000) NOT VALID',
    'CREATE INDEX "by note" ON sales."Orders" (lower(note)) WHERE amount > 10',
    'CREATE UNIQUE INDEX ON sales."Orders" (id DESC NULLS LAST) INCLUDE (amount)',
    'CREATE INDEX ON sales."Orders" USING gist (during)',
    'CREATE STATISTICS sales.together (dependencies) ON user_id, amount FROM sales."Orders"',
    'ALTER TABLE sales."Orders" ALTER COLUMN note SET STORAGE EXTERNAL, ALTER COLUMN note SET STATISTICS 77',
    'ALTER TABLE sales."Orders" SET (fillfactor = 70, autovacuum_enabled = false)',
    'ALTER TABLE sales."Orders" CLUSTER ON "Orders_pkey"',
    'ALTER TABLE sales."Orders" REPLICA IDENTITY FULL',
    # partitions: by range and list, with a default, an index and a foreign key on the parent; a detached lookalike
    """CREATE TABLE events (at timestamptz NOT NULL, kind text NOT NULL, user_id int REFERENCES "Users" ("Id"),
       PRIMARY KEY (at, kind)) PARTITION BY RANGE (at)""",
    "CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    "CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (kind)",
    "CREATE TABLE events_2026_in PARTITION OF events_2026 FOR VALUES IN ('in')",
    "CREATE TABLE events_2026_rest PARTITION OF events_2026 DEFAULT",
    "CREATE INDEX events_by_user ON events (user_id)",
    """INSERT INTO events SELECT '2025-06-01'::timestamptz + g * '1 day'::interval, (ARRAY['in', 'out', 'ปิด'])[1 + g % 3],
       1 + g % 500 FROM generate_series(1, 400) g""",
    # inheritance
    "CREATE TABLE animals (name text NOT NULL, born date)",
    "CREATE TABLE cats (lives int DEFAULT 9) INHERITS (animals)",
    "INSERT INTO animals SELECT 'a' || g, '2020-01-01'::date + g FROM generate_series(1, 20) g",
    "INSERT INTO cats SELECT 'c' || g, NULL, g FROM generate_series(1, 9) g",
    "CREATE UNLOGGED TABLE scratch_pad AS SELECT g AS n FROM generate_series(1, 5) g",
    'CREATE TABLE "Odd.Schema"."ta""b*l.e?" ("co""l" int, "select" text, "UPPER" jsonb, bits bit varying(9), bytes bytea)',
    """INSERT INTO "Odd.Schema"."ta""b*l.e?" SELECT g, chr(g + 64) || '\u200b', jsonb_build_object('g', g), g::bit(8)::varbit,
       decode(md5(g::text), 'hex') FROM generate_series(1, 40) g""",
    "CREATE TABLE nothing_in_it ()",
    """CREATE TABLE stretched AS SELECT g AS n, CASE WHEN g % 7 = 0 THEN repeat(md5(g::text), 500) END AS long
       FROM generate_series(1, 50) g""",
    "ALTER TABLE stretched ADD COLUMN late text DEFAULT 'since then', DROP COLUMN n",
    # triggers, rules, row-level security
    'CREATE TRIGGER "Stamp" BEFORE INSERT ON sales."Orders" FOR EACH ROW EXECUTE FUNCTION "Odd.Schema".stamp()',
    'ALTER TABLE sales."Orders" DISABLE TRIGGER "Stamp"',
    "CREATE RULE quiet AS ON DELETE TO animals DO INSTEAD NOTHING",
    'ALTER TABLE "Users" ENABLE ROW LEVEL SECURITY',
    'CREATE POLICY own ON "Users" FOR SELECT TO app USING (age > 18)',
    "ALTER TABLE animals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    # views, also ones that form a circle through a function, and a materialized one with rows
    'CREATE VIEW grown AS SELECT * FROM "Users" WHERE age > 18 WITH LOCAL CHECK OPTION',
    'CREATE VIEW sales.totals WITH (security_barrier) AS SELECT user_id, sum(amount) AS total FROM sales."Orders" GROUP BY 1',
    'CREATE MATERIALIZED VIEW sales.per_user AS SELECT u."Id", t.total FROM "Users" u JOIN sales.totals t ON t.user_id = u."Id"',
    'CREATE UNIQUE INDEX ON sales.per_user ("Id")',
    "CREATE MATERIALIZED VIEW not_filled AS SELECT 1 AS n WITH NO DATA",
    # sequences
    "CREATE SEQUENCE countdown AS smallint INCREMENT -1 MINVALUE -500 MAXVALUE 100 START 100 CYCLE",
    "SELECT nextval('countdown'), nextval('countdown')",
    "CREATE SEQUENCE never_used",
    "SELECT setval('sales.\"Orders_id_seq\"', 5000, false)",
    # large objects, with an owner and rights
    "SELECT lo_from_bytea(4711, '\\x00ff00ff'::bytea || convert_to(repeat('large', 3000), 'UTF8'))",
    "SELECT lo_from_bytea(4712, '')",
    "ALTER LARGE OBJECT 4711 OWNER TO app",
    'GRANT SELECT ON LARGE OBJECT 4711 TO "Read Only"',
    "COMMENT ON LARGE OBJECT 4711 IS 'with a comment'",
    # text search
    "CREATE TEXT SEARCH CONFIGURATION plain_words (COPY = simple)",
    # owners, grants, comments, labels
    'ALTER TABLE "Odd.Schema"."ta""b*l.e?" OWNER TO owner_of_things',
    'GRANT SELECT ("E-Mail"), UPDATE (age) ON "Users" TO "Read Only"',
    "GRANT SELECT ON ALL TABLES IN SCHEMA sales TO app WITH GRANT OPTION",
    "REVOKE EXECUTE ON FUNCTION sales.tax(numeric) FROM PUBLIC",
    "GRANT USAGE ON SCHEMA sales TO app",
    'ALTER DEFAULT PRIVILEGES FOR ROLE owner_of_things IN SCHEMA sales GRANT SELECT ON TABLES TO "Read Only"',
    "COMMENT ON TABLE sales.\"Orders\" IS 'it''s \"quoted\", and\nhas two lines'",
    'COMMENT ON COLUMN "Users"."ชื่อ" IS \'ความเห็น\'',
    'COMMENT ON CONSTRAINT "amount > 0" ON sales."Orders" IS \'positive\'',
    # foreign data without a server to talk to
    # event triggers and publications
    """CREATE FUNCTION refuse_truncate() RETURNS event_trigger LANGUAGE plpgsql AS
       $$BEGIN IF current_setting('my.guard', true) = 'on' THEN RAISE EXCEPTION 'guarded'; END IF; END$$""",
    "CREATE EVENT TRIGGER guard ON ddl_command_start EXECUTE FUNCTION refuse_truncate()",
    'CREATE PUBLICATION "Some" FOR TABLE sales."Orders" (id, amount) WHERE (amount > 5), events',
    "CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert')",
)
"""What is in it, on PostgreSQL 15 and later; run one after another as a superuser."""

OF_THE_DATABASE = (
    "ALTER DATABASE {name} OWNER TO owner_of_things",
    "ALTER DATABASE {name} SET statement_timeout = '37s'",
    "ALTER DATABASE {name} SET \"my.setting\" = 'it''s'",
    "ALTER ROLE app IN DATABASE {name} SET search_path = sales, public",
    "ALTER DATABASE {name} CONNECTION LIMIT 40",
    'GRANT CREATE ON DATABASE {name} TO "Read Only"',
    "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {name} TO app",
    "COMMENT ON DATABASE {name} IS 'the database''s own comment'",
)

RESTRICT = re.compile(rb"^\\(un)?restrict .*\n", re.MULTILINE)


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def make_awkward(server: PlainServer, name: str = NAME) -> None:
    """Make the database, as the superuser, with everything in it."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for role in ROLES:
            connection.execute(role)
        connection.execute(
            f"CREATE DATABASE {quoted(name)} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        there = {row[0] for row in connection.execute("SELECT name FROM pg_available_extensions")}
        for extension in EXTENSIONS:
            if extension in there:
                connection.execute(f"CREATE EXTENSION {extension}")
        for statement in STATEMENTS:
            connection.execute(statement)
        for statement in OF_THE_DATABASE:
            connection.execute(statement.format(name=quoted(name)))


class Server(Protocol):
    """A server that can be looked into as its superuser."""

    @property
    def binaries(self) -> Binaries:
        """Its programs."""
        ...

    def dsn(self, dbname: str = "postgres") -> str:
        """How to reach one of its databases."""
        ...


def schema_of(server: Server, name: str) -> str:
    """Return the schema as pg_dump writes it, without what is random in it; two databases with the same one are alike."""
    tool = find_client(("pg_dump",), at_least=server.binaries.major).tool("pg_dump")
    known = subprocess.run([tool, "--help"], capture_output=True, check=True).stdout
    key = ["--restrict-key=comparing"] if b"--restrict-key" in known else []
    done = subprocess.run(
        [tool, "--schema-only", *key, "-d", server.dsn(name)], capture_output=True, check=True
    )  # a pg_dump that has \restrict without the option writes a random key
    return RESTRICT.sub(b"", done.stdout).decode()


def database_of(server: Server, name: str) -> dict[str, object]:
    """Return what belongs to the database itself: encoding, locale, owner, limit, grants, settings, comment."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        row = connection.execute(
            "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, datistemplate,"
            " (SELECT array_agg(one::text ORDER BY one::text) FROM unnest(datacl) one), shobj_description(oid, 'pg_database'),"
            " (SELECT array_agg(ROW(setrole::regrole, setconfig)::text ORDER BY setrole) FROM pg_db_role_setting"
            " WHERE setdatabase = d.oid)"
            " FROM pg_database d WHERE datname = %s",
            [name],
        ).fetchone()
    assert row is not None, f"there is no database {name}"
    names = ("owner", "encoding", "collate", "ctype", "limit", "template", "grants", "comment", "settings")
    return dict(zip(names, row, strict=True))


def contents_of(server: Server, name: str) -> dict[str, object]:
    """Return hashes of the ordered rows of every table and filled materialized view, sequences' values, and large objects."""
    found: dict[str, object] = {}
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        relations = connection.execute(
            "SELECT format('%I.%I', n.nspname, c.relname), c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE (relkind IN ('r', 'S') OR (relkind = 'm' AND relispopulated)) AND relpersistence <> 't'"
            " AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        ).fetchall()
        for table, kind in relations:
            if kind == "S":
                found[table] = connection.execute(f"SELECT last_value, is_called FROM {table}").fetchone()
            else:
                found[table] = connection.execute(
                    f"SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")) FROM ONLY {table} t"
                ).fetchone()
        found["large objects"] = connection.execute(
            "SELECT oid, md5(lo_get(oid)), lomowner::regrole::text, lomacl::text, obj_description(oid, 'pg_largeobject')"
            " FROM pg_largeobject_metadata ORDER BY 1"
        ).fetchall()
    return found
