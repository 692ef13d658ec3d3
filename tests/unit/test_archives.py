"""What is read off the head of a dump's archive: the contents, what belongs to a table, the database's own definition, roles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.errors import Corruption, PitstopError, Unavailable
from bot.model.restores import TableName
from bot.postgres.archive_choice import everything, tables_of, without_rows
from bot.postgres.archive_toc import Entry, Toc, read_toc
from bot.postgres.connect import quote_ident
from bot.postgres.database_definition import definition, statements
from bot.postgres.restore_program import complaint, failure
from bot.postgres.sql_words import rename_database, roles_named
from jobs.restore.roles import lines_for

names = st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name and not name.isspace())


def integer(number: int) -> bytes:
    """Write a number as pg_dump does."""
    return bytes([number < 0]) + abs(number).to_bytes(4, "little")


def string(text: str | None) -> bytes:
    """Write a text as pg_dump does."""
    if text is None:
        return integer(-1)
    data = text.encode()
    return integer(len(data)) + data


def archive(entries: Iterable[Entry], *, minor: int = 16) -> bytes:
    """Write the head of an archive of format 1.`minor`, as pg_dump's WriteHead and WriteToc do."""
    entries = list(entries)
    data = b"PGDMP" + bytes([1, minor, 0, 4, 8, 1])
    data += bytes([0]) if minor >= 15 else integer(0)
    data += b"".join(integer(number) for number in (1, 2, 3, 24, 10, 126, 0))
    data += string("slips") + string("16.2") + string("16.2 (here)") + integer(len(entries))
    for one in entries:
        data += (
            integer(one.id) + integer(1) + string("1259") + string(str(one.oid)) + string(one.tag) + string(one.desc)
        )
        data += integer(2) + string(one.defn) + string(None) + string(None) + string(one.schema)
        data += string(one.tablespace) + string(None) + (integer(114) if minor >= 16 else b"") + string(one.owner)
        data += string("false") + b"".join(string(str(need)) for need in one.needs) + string(None) + bytes(9)
    return data


entries = st.lists(
    st.builds(
        Entry,
        id=st.integers(1, 2**31 - 1),
        desc=st.sampled_from(["TABLE", "TABLE DATA", "ACL"]),
        tag=names,
        schema=names,
        owner=names,
        defn=st.text(max_size=50),
        oid=st.integers(0, 2**32 - 1),
        tablespace=st.just(""),
        needs=st.lists(st.integers(1, 2**31 - 1), max_size=3).map(tuple),
    ),
    max_size=6,
)


@given(entries=entries, minor=st.sampled_from([14, 15, 16]), size=st.integers(1, 64))
def test_contents_come_back_however_the_pieces_fall(entries: list[Entry], minor: int, size: int) -> None:
    """Every entry is read as it was written, in each known format, from pieces of any size; what follows is not touched."""
    data = archive(entries, minor=minor) + b"rows follow"
    toc = read_toc(data[start : start + size] for start in range(0, len(data), size))
    assert list(toc.entries) == entries
    assert (toc.database, toc.server, toc.tool_major) == ("slips", "16.2", 16)


@given(entries=entries, cut=st.floats(0, 0.999))
def test_a_cut_archive_is_damaged(entries: list[Entry], cut: float) -> None:
    """An archive that ends before its contents do is never taken for a shorter one."""
    data = archive(entries)
    with pytest.raises(Corruption):
        read_toc([data[: int(len(data) * cut)]])


@given(data=st.binary(max_size=200))
@example(data=bytes(34) + b"\x80" + bytes(5))  # a time no calendar has
def test_anything_else_is_refused(data: bytes) -> None:
    """Bytes that are no archive end in one of our errors."""
    for head in (b"", b"PGDMP\x01\x0e\x00\x04\x08\x01"):
        with pytest.raises(PitstopError):
            read_toc([head + data])


def test_a_newer_format_is_not_guessed() -> None:
    """A format nobody knows yet is said to be one."""
    with pytest.raises(Unavailable, match="1\\.17"):
        read_toc([archive([], minor=17)])


GRANTS = "REVOKE ALL ON DATABASE slips FROM PUBLIC;\nGRANT CONNECT ON DATABASE slips TO clerk;\n"
POLICY = "CREATE POLICY own ON x TO clerk, PUBLIC USING (a TO b);\n"


def shop() -> Iterator[Entry]:
    """Yield a small archive: users, orders with a sequence and a foreign key, a partitioned table, and what is around them."""
    yield Entry(90, "ENCODING", "ENCODING", "", "", "SET client_encoding = 'UTF8';\n")
    yield Entry(
        91, "DATABASE", "slips", "", "app", "CREATE DATABASE slips WITH TEMPLATE = template0 ENCODING = 'UTF8';\n"
    )
    yield Entry(
        92, "COMMENT", "DATABASE slips", "", "app", "COMMENT ON DATABASE slips IS 'of DATABASE slips';\n", needs=(91,)
    )
    yield Entry(93, "ACL", "DATABASE slips", "", "app", GRANTS, needs=(91,))  # fmt: skip
    yield Entry(
        94,
        "DATABASE PROPERTIES",
        "slips",
        "",
        "app",
        "ALTER ROLE clerk IN DATABASE slips SET x TO 'DATABASE slips; y';\n",
    )
    yield Entry(1, "TYPE", "state", "public", "app", "CREATE TYPE public.state AS ENUM ('new');\n")
    yield Entry(2, "TABLE", "Users", "public", "app", 'CREATE TABLE public."Users" ();\n')
    yield Entry(3, "TABLE", "Orders", "public", "app", 'CREATE TABLE public."Orders" ();\n', needs=(1,))
    yield Entry(
        4,
        "ACL",
        'TABLE "Orders"',
        "public",
        "app",
        'GRANT SELECT ON TABLE public."Orders" TO "Read, Only";\n',
        needs=(3,),
    )
    yield Entry(5, "SEQUENCE", "Orders_id_seq", "public", "app", "CREATE SEQUENCE public.s;\n", needs=(3,))
    yield Entry(6, "DEFAULT", "Orders id", "public", "app", "ALTER TABLE …;\n", needs=(3, 5))
    yield Entry(7, "TABLE", "parts", "public", "app", "CREATE TABLE public.parts () PARTITION BY RANGE (n);\n")
    yield Entry(8, "TABLE", "parts_1", "public", "app", "CREATE TABLE public.parts_1 ();\n", needs=(7,))
    yield Entry(9, "TABLE ATTACH", "parts_1", "public", "app", "ALTER TABLE …;\n", needs=(8, 7))
    yield Entry(10, "VIEW", "v", "public", "app", "CREATE VIEW public.v AS SELECT 1;\n", needs=(3,))
    yield Entry(20, "TABLE DATA", "Users", "public", "app", "", needs=(2,))
    yield Entry(21, "TABLE DATA", "Orders", "public", "app", "", needs=(3,))
    yield Entry(22, "TABLE DATA", "parts_1", "public", "app", "", needs=(8,))
    yield Entry(23, "SEQUENCE SET", "Orders_id_seq", "public", "app", "SELECT …;\n", needs=(5,))
    yield Entry(24, "BLOBS", "BLOBS", "", "", "")
    yield Entry(30, "CONSTRAINT", "Users Users_pkey", "public", "app", "ALTER TABLE …;\n", needs=(2,))
    yield Entry(31, "FK CONSTRAINT", "Orders of_user", "public", "app", "ALTER TABLE …;\n", needs=(2, 3, 30))
    yield Entry(
        32,
        "POLICY",
        "Orders own",
        "public",
        "app",
        POLICY,
        needs=(3,),
    )


TOC = Toc("slips", "16.2", "16.2", tuple(shop()))


def chosen(*tables: str) -> tuple[set[int], tuple[str, ...]]:
    """Return the ids chosen for tables of `public`, and what was left out."""
    choice = tables_of(TOC, [TableName("public", table) for table in tables])
    return {entry.id for entry in choice.entries}, choice.left_out


def test_a_table_comes_with_what_it_stands_on_and_what_belongs_to_it() -> None:
    """Type, sequence with its value, default, policy, grants and rows come; the view and the large objects do not."""
    ids, left_out = chosen("Orders")
    assert ids == {90, 1, 3, 4, 5, 6, 21, 23, 32}
    assert left_out == ("The foreign key Orders of_user leads to a table that is not restored; it is left out.",)


def test_both_ends_of_a_foreign_key() -> None:
    """With both tables the foreign key comes; to the table it leads to, alone, it is nothing that is missing."""
    ids, left_out = chosen("Orders", "Users")
    assert {30, 31} <= ids
    assert left_out == ()
    assert chosen("Users") == ({90, 2, 20, 30}, ())


def test_partitions_come_with_their_parent() -> None:
    """A partitioned table means all its partitions; a partition alone brings its parent without any other rows."""
    assert chosen("parts") == ({90, 7, 8, 9, 22}, ())
    choice = tables_of(TOC, [TableName("public", "parts_1")])
    assert [table.name for table in choice.tables] == ["parts_1"]
    assert [table.name for table in choice.bare] == ["parts"]


def test_definitions_alone_have_no_rows() -> None:
    """No rows, values of sequences or large objects are left."""
    choice = without_rows(everything(TOC))
    assert not {entry.desc for entry in choice.entries} & {"TABLE DATA", "SEQUENCE SET", "BLOBS"}
    assert choice.tables == ()


def test_roles_of_an_archive() -> None:
    """Owners, grantees, roles of policies and of settings are all needed; PUBLIC is none."""
    assert everything(TOC).roles() == {"app", "clerk", "Read, Only"}


@given(name=names)
def test_the_database_gets_another_name_everywhere(name: str) -> None:
    """Whatever the new name: it stands where the database is spoken of, and nowhere else."""
    made = definition(TOC, name)
    quoted = quote_ident(name)
    assert made.create.startswith(f"CREATE DATABASE {quoted} WITH")
    assert made.comment is not None
    assert made.comment.startswith(f"COMMENT ON DATABASE {quoted} IS 'of DATABASE slips';")
    assert made.owner == f'ALTER DATABASE {quoted} OWNER TO "app";'
    assert made.properties == (
        f"ALTER ROLE clerk IN DATABASE {quoted} SET x TO 'DATABASE slips; y';",
        f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {quoted} TO clerk;",
    )


@given(old=names, new=names)
def test_any_name_is_found(old: str, new: str) -> None:
    """A name that pg_dump had to quote is found and replaced whole."""
    assert rename_database(f"DROP DATABASE {quote_ident(old)};", old, new) == f"DROP DATABASE {quote_ident(new)};"


def test_a_definition_of_another_database_is_refused() -> None:
    """SQL that speaks of a database other than the one dumped is not run under a new name."""
    for sql in ("ALTER DATABASE other SET x TO 1;", "SELECT 1;"):
        with pytest.raises(Corruption):
            rename_database(sql, "slips", "new")


def test_statements_are_split_at_their_ends() -> None:
    """A semicolon in a text, a name or a comment ends nothing."""
    assert statements("SELECT ';'; -- ;\nSELECT \"a;b\" ;\n") == ["SELECT ';';", '-- ;\nSELECT "a;b" ;']


def test_roles_in_grants() -> None:
    """The roles of a grant are those after TO, FROM and AUTHORIZATION."""
    sql = (
        'SET SESSION AUTHORIZATION owner;\nGRANT SELECT("to") ON TABLE a.b TO "Odd ""one""" WITH GRANT OPTION;\n'
        "REVOKE ALL ON SCHEMA x FROM PUBLIC;\n"
    )
    assert roles_named("ACL", sql) == {"owner", 'Odd "one"'}


def test_missing_roles_are_made_as_the_globals_have_them() -> None:
    """The lines of the globals, without passwords; a role that is not in them is made plainly."""
    dumped = (
        b"CREATE ROLE app;\nALTER ROLE app WITH NOSUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:x';\n"
        b"ALTER ROLE app SET x TO 'y';\n"
    )
    assert lines_for(["app", "Odd"], [dumped]) == [
        'CREATE ROLE "Odd";',
        "CREATE ROLE app;",
        "ALTER ROLE app WITH NOSUPERUSER LOGIN;",
    ]


SAID = """pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3375; 1259 16402 INDEX on_it postgres
pg_restore: error: could not execute query: ERROR:  relation "helper" does not exist
LINE 1: SELECT n FROM helper
Command was: CREATE INDEX on_it ON public.t USING btree (public.looked_up(n));
"""


def test_a_failure_names_the_statement() -> None:
    """What the server said and the statement it was about are in the sentence; a server that went away is another error."""
    said = complaint(SAID)
    assert said.startswith('could not execute query: ERROR: relation "helper" does not exist')
    assert said.endswith("USING btree (public.looked_up(n))")
    assert failure(1, SAID, "slips").reason_code == "restore-failed"
    gone = 'pg_restore: error: COPY failed for table "t": server closed the connection unexpectedly\n'
    assert failure(1, gone, "slips").reason_code == "server-gone"
    assert "signal 9" in failure(-9, "", "slips").message
