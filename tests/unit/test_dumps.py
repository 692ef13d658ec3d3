"""What a dump takes, and what its program's words mean: names exactly, partitions with their table, errors in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Conflict, Corruption, Failed, PitstopError, Unavailable, Usage
from bot.host.children import Child
from bot.model.dumps import Part, Selection, Table, matching, require_known
from bot.postgres.binaries import Binaries, find_client
from bot.postgres.connect import dsn_fields
from bot.postgres.dump_program import complaint, program_error
from bot.postgres.dump_rules import check_dump_programs, check_large_objects
from bot.postgres.dump_session import DumpSession

SESSION = DumpSession(
    "host=/nowhere user=dumper password='it''s secret'".replace("''", "\\'"), "shop", 16, "pitstop dump x"
)


def table(oid: int, name: str, *, schema: str = "public", parents: tuple[int, ...] = ()) -> Table:
    """A table as the server lists it."""
    return Table(oid, schema, name, "table", b"", b"", parents)


SHOP = [
    table(1, "Users"),
    table(2, "users"),
    table(3, "orders"),
    table(4, "orders_2026", parents=(3,)),
    table(5, "orders_2026_11", parents=(4,)),
    table(6, "users", schema="audit"),
    table(7, 'we"ird.na*me'),
]


@pytest.mark.parametrize(
    ("word", "oids"),
    [
        ("Users", {1}),
        ("users", {2, 6}),
        ("public.users", {2}),
        ('"audit"."users"', {6}),
        ('"Users"', {1}),
        ('we"ird.na*me', {7}),
        ('public.we"ird.na*me', {7}),
        ('"we""ird.na*me"', {7}),
        ("user*", set()),
        ("USERS", set()),
    ],
)
def test_a_word_names_tables_exactly(word: str, oids: set[int]) -> None:
    """Case counts, dots and quotes in names do no harm, and nothing is a wildcard."""
    assert {found.oid for found in matching(word, SHOP)} == oids


def test_partitions_go_with_their_table() -> None:
    """Choosing or leaving out a table does so with everything below it, at any depth; one partition alone can be chosen."""
    assert {found.oid for found in Selection(tables=("orders",)).chosen(SHOP)} == {3, 4, 5}
    assert {found.oid for found in Selection(tables=("orders_2026_11",)).chosen(SHOP)} == {5}
    assert {found.oid for found in Selection(exclude_tables=("orders_2026",)).chosen(SHOP)} == {1, 2, 3, 6, 7}
    assert {found.oid for found in Selection(tables=("orders",), exclude_tables=("orders_2026",)).chosen(SHOP)} == {3}
    assert {found.oid for found in Selection(exclude_tables=("orders",)).excluded(SHOP)} == {3, 4, 5}
    assert Selection().chosen(SHOP) == SHOP


@given(
    st.lists(st.sampled_from([one.full_name for one in SHOP])),
    st.lists(st.sampled_from([one.full_name for one in SHOP])),
)
def test_what_is_left_out_is_never_chosen(tables: list[str], exclude: list[str]) -> None:
    """Whatever is named, nothing is both in the dump and left out, and what is neither is there when nothing was chosen."""
    selection = Selection(tables=tuple(tables), exclude_tables=tuple(exclude))
    chosen, excluded = selection.chosen(SHOP), selection.excluded(SHOP)
    assert not {one.oid for one in chosen} & {one.oid for one in excluded}
    if not tables:
        assert {one.oid for one in chosen} | {one.oid for one in excluded} == {one.oid for one in SHOP}


def test_an_unknown_table_offers_the_nearest() -> None:
    """A table that is in none of the databases is refused with names that look like it, also in another case."""
    with pytest.raises(Usage) as refused:
        require_known(["ordrs"], SHOP, "shop")
    assert refused.value.hint.startswith("Did you mean public.orders")
    with pytest.raises(Usage) as refused:
        require_known(["USERS"], SHOP, "shop")
    assert "users" in refused.value.hint
    with pytest.raises(Usage, match="There is no table “🦀") as refused:
        require_known(["🦀" * 1000], SHOP, "shop")
    assert "exactly" in refused.value.hint


@given(
    st.builds(
        Selection,
        st.sampled_from(Part),
        *(st.lists(st.text(), max_size=3).map(tuple) for _ in range(3)),
    )
)
def test_a_selection_survives_the_ledger(selection: Selection) -> None:
    """What a run's arguments keep is what was asked for; arguments of another time mean everything."""
    assert Selection.from_json(selection.as_json()) == selection
    assert Selection.from_json({}) == Selection()


GONE = """pg_dump: warning: circular
pg_dump: error: query failed: server closed the connection unexpectedly
	This probably means the server terminated abnormally
"""
DAMAGED = """pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.
pg_dump: detail: Error message from server: ERROR:  invalid page in block 3 of relation base/5/16384
pg_dump: detail: Command was: COPY public.t (n) TO stdout;
"""
DENIED = """pg_dump: error: query failed: ERROR:  permission denied for table t
pg_dump: detail: Query was: LOCK TABLE t
"""
AWAY = 'pg_dump: error: connection to server on socket "/x" failed: No such file'
LOCKED = "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout"


@pytest.mark.parametrize(
    ("said", "kind", "code", "words"),
    [
        (AWAY, Unavailable, "server-down", "failed"),
        (DENIED, Usage, "right-pg-read-all-data", "table t"),
        (DAMAGED, Corruption, "damaged-pages", "block 3"),
        (LOCKED, Conflict, "table-locked", "lock timeout"),
        (GONE, Unavailable, "server-gone", "server closed the connection"),
        ("pg_dumpall: error: something else", Failed, "dump-failed", "something else"),
        ("", Failed, "dump-failed", "exit code 1"),
    ],
)
def test_what_a_program_says_becomes_an_error(said: str, kind: type[PitstopError], code: str, words: str) -> None:
    """The first error of pg_dump decides who has to act, and its own words are kept."""
    error = program_error(1, said, SESSION)
    assert (type(error), error.reason_code) == (kind, code)
    assert words in error.message
    assert "\n" not in error.message


@given(st.text(max_size=2000))
def test_a_complaint_is_one_short_line(said: str) -> None:
    """Whatever a program prints, what is told of it is one line."""
    assert len(complaint(said).splitlines()) <= 1
    assert len(complaint(said)) <= 500


def test_the_password_goes_another_way() -> None:
    """The password of a DSN is in the program's environment and not on its command line; the passphrase of a key is refused."""
    line = SESSION.program_conninfo()
    assert "secret" not in line
    assert dsn_fields(line)["dbname"] == "shop"
    assert SESSION.program_environment()["PGPASSWORD"] == "it's secret"
    with pytest.raises(Usage) as refused:
        DumpSession("host=h sslpassword=x", "shop", 16, "x").program_conninfo()
    assert "service=" in refused.value.hint


def test_what_steers_a_session_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """PGOPTIONS and its like of our own environment do not reach pg_dump, options of the DSN do."""
    monkeypatch.setenv("PGOPTIONS", "-c role=nobody")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    session = DumpSession("host=h options='-c geqo=off'", "shop", 17, "x")
    assert not {"PGOPTIONS", "PGCLIENTENCODING"} & set(session.program_environment())
    options = dsn_fields(session.program_conninfo())["options"]
    assert options.startswith("-c geqo=off ")
    assert "transaction_timeout=0" in options
    assert "event_triggers" not in options


def program(folder: Path, version: str) -> Path:
    """Make a folder with a pg_dump and a pg_dumpall that say they are of a version."""
    folder.mkdir(parents=True)
    for name in ("pg_dump", "pg_dumpall"):
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_nearest_pg_dump_that_is_new_enough(tmp_path: Path) -> None:
    """A client without a server will do; the server's own major wins over later ones, its newest minor over older ones."""
    extra = [program(tmp_path / version, version) for version in ("97.1", "98.2", "98.10", "99.0")]
    found = find_client(("pg_dump", "pg_dumpall"), at_least=98, extra=extra)
    assert found.version == "98.10"
    assert find_client(("pg_dump",), at_least=96, extra=extra).version == "97.1"


def test_a_pg_dump_that_is_too_old_or_missing(tmp_path: Path) -> None:
    """An older pg_dump dumps no newer server, and a missing one none at all: both come with the line that installs it."""
    with pytest.raises(Unavailable) as old:
        find_client(("pg_dump", "pg_dumpall"), at_least=98, extra=[program(tmp_path / "bin", "97.1")])
    assert old.value.reason_code == "tool-too-old"
    assert "97.1" in old.value.message
    assert old.value.hint.startswith("apt-get install postgresql-client-98;")
    with pytest.raises(Unavailable) as missing:
        find_client(("pg_nothing",), at_least=16)
    assert missing.value.reason_code == "missing-tool"
    assert missing.value.hint.startswith("apt-get install postgresql-client-16;")


def test_check_says_what_dumps_lack(tmp_path: Path) -> None:
    """No pg_dump fails the check, large objects that cannot be read warn; both with the line to put right."""
    here = [Binaries(97, 970001, program(tmp_path / "bin", "97.1"))]
    assert [finding.level for finding in check_dump_programs(97, here)] == ["ok"]
    [missing] = check_dump_programs(98, here)
    assert (missing.level, missing.code) == ("fail", "dump-programs")
    assert "postgresql-client-98" in missing.fix
    [objects] = check_large_objects("a role's", {"shop": 3, "other": 0})
    assert objects.level == "warn"
    assert "GRANT SELECT ON LARGE OBJECT %s TO \"a role''s\"" in objects.fix
    assert "in shop" in objects.fix


def test_a_child_is_read_and_its_last_words_kept() -> None:
    """Everything a program writes arrives, however much it complains meanwhile; its end and its first and last words are told."""
    script = "import sys\nfor n in range(3000): sys.stdout.write('x' * 1000); sys.stderr.write(f'line {n}\\n' * 10)\nsys.exit(7)"
    with Child([sys.executable, "-c", script], env={}) as child:
        size = 0
        while (data := child.read(10)) is None or len(data):
            size += len(data or b"")
        code, said = child.wait()
    assert (size, code) == (3_000_000, 7)
    assert said.startswith("line 0\n")
    assert said.endswith("line 2999\n")
    assert len(said) < 100_000


def test_a_child_that_cannot_start_says_so() -> None:
    """A program that is not there ends with an exit code and a sentence, like one that failed."""
    with Child(["/nowhere/pg_dump"], env={}) as child:
        assert child.read(10) is not None
        code, said = child.wait()
    assert code == 71
    assert said == "error: /nowhere/pg_dump cannot be started: No such file or directory\n"
