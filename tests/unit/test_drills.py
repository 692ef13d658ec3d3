"""How a drill judges: sizes, tables, counts and times, without a server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model.backup_commands import Verify, parse_backup
from bot.model.drill_report import as_markdown
from bot.model.drills import (
    Baseline,
    Bounds,
    Counts,
    Point,
    Proof,
    Question,
    TableName,
    counts_from_json,
    fallen,
    hidden_rows,
    judge_equal,
    judge_expected,
    judge_size,
    judge_tables,
    judge_time,
)
from bot.model.ids import BackupId, ClusterName
from bot.postgres.globals_script import statements

ORDERS, USERS = TableName("shop", "public", "Orders"), TableName("shop", "public", "Users")
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("size", "earlier", "ok"),
    [
        (100 * MIB, [], None),
        (100 * MIB, [90 * MIB, 110 * MIB], True),
        (40 * MIB, [100 * MIB, 100 * MIB, 4000 * MIB], False),
        (201 * MIB, [100 * MIB], False),
        (1000, [900_000], True),
    ],
)
def test_sizes(size: int, earlier: list[int], ok: bool | None) -> None:
    """Half and twice the median are the bounds; one odd size before does not move them, and kilobytes are never odd."""
    assert judge_size(size, earlier).ok is ok


def test_critical_tables_are_those_named_or_those_there_before() -> None:
    """A table named without its schema is found in any; without names every table that was there before has to be."""
    present = {ORDERS: 1}
    assert judge_tables(present, ["Orders", "public.Orders", "shop.public.Orders"], None).ok is True
    named = judge_tables(present, ["Orders", "orders"], None)
    assert (named.ok, named.detail) == (False, "missing: orders")
    before = judge_tables(present, [], Baseline("the drill of 2026-11-15", {ORDERS: 1, USERS: 1}))
    assert (before.ok, before.detail) == (False, "missing: shop.public.Users")
    assert judge_tables(present, [], None).ok is None


def test_counts_equal_to_the_dumps() -> None:
    """One row more or less is a no, a missing table too; what was not counted is not judged."""
    assert judge_equal({ORDERS: 5, USERS: 3}, {ORDERS: 5, USERS: 3}).ok is True
    assert judge_equal({ORDERS: 4, USERS: 3}, {ORDERS: 5, USERS: 3}).ok is False
    assert "no table" in judge_equal({USERS: 3}, {ORDERS: 5, USERS: 3}).detail
    assert judge_equal({ORDERS: None, USERS: 3}, {ORDERS: 5, USERS: 3}).ok is None
    assert judge_equal({ORDERS: 4}, {ORDERS: None}).ok is None


@pytest.mark.parametrize(
    ("now", "before", "bounds", "ok"),
    [
        (0, 1, Bounds(), False),
        (50, 100, Bounds(), True),
        (49, 100, Bounds(), False),
        (49, 100, Bounds(max_shrink=0.9), True),
        (0, 100, Bounds(max_shrink=1.0), False),
        (0, 100, Bounds(may_shrink=["public.Orders"]), True),
        (9, 9, Bounds(min_rows={"Orders": 10}), False),
        (1000, 0, Bounds(), True),
    ],
)
def test_counts_against_history(now: int, before: int, bounds: Bounds, ok: bool) -> None:
    """A table that was emptied or lost more than it may is a no, unless it may shrink; so is one below its floor."""
    assert judge_expected({ORDERS: now}, [Baseline("the dump before", {ORDERS: before})], bounds).ok is ok


def test_a_dump_is_held_to_the_median_of_those_before_it() -> None:
    """Far fewer rows than usual, below a floor, or a critical table that is gone; one strange dump before changes nothing."""
    orders, users, queue = (TableName("shop", "public", name) for name in ("Orders", "Users", "queue"))
    before: list[Counts] = [{orders: 100, users: 10, queue: 50}, {orders: 0, users: 10}, {orders: 104, users: None}]
    bounds = Bounds(0.5, {"Users": 10}, ("queue",))
    assert fallen({orders: 51, users: 10, queue: 0}, before, bounds, ["Orders"]) == []
    found = dict(fallen({orders: 49, users: 9, queue: 0}, before, bounds, ["Orders", "Invoices"]))
    assert found == {
        "Invoices": "Invoices is not in it.",
        "shop.public.Orders": "shop.public.Orders has 49 rows; the 3 dumps before it had 100.",
        "shop.public.Users": "shop.public.Users has 9 rows; at least 10 are expected.",
    }
    assert fallen({orders: 0, users: 10}, [], Bounds(), []) == [], "nothing to compare with"
    assert fallen({orders: None}, before, Bounds(), []) == [], "not counted"
    [(_, sentence)] = fallen({orders: 0}, before[:1], Bounds(), [])
    assert sentence == "shop.public.Orders has 0 rows; the dump before it had 100."


def test_hidden_rows_are_looked_for_only_where_they_can_hide() -> None:
    """A table that has no row-level security may have grown since the dump; one that has it and lacks its rows is named."""
    dumped, physical = {ORDERS: 0, USERS: 0}, {ORDERS: 100, USERS: 100}
    assert hidden_rows(dumped, physical, []) == []
    [said] = hidden_rows(dumped, physical, [ORDERS])
    assert said.startswith("shop.public.Orders has 0 rows")


def test_times_against_the_objective() -> None:
    """Within the target passes, past it is told, past the maximum is a no."""
    assert [judge_time(s, 60, 120).ok for s in (59, 61, 121)] == [True, None, False]


def test_a_slow_restore_still_proves_the_backup() -> None:
    """The drill fails, and the backup is verified; any other no verifies nothing."""
    assert (proof(Question.TIME).ok, proof(Question.TIME).verified) == (False, True)
    assert (proof(Question.WHOLE).ok, proof(Question.WHOLE).verified) == (False, False)


def test_the_report_has_every_answer() -> None:
    """The page names the backup and each point; a table's name cannot break its lines."""
    page = as_markdown(proof(Question.WHOLE, "a\nb `c`"), datetime(2026, 11, 22, 3, 0, tzinfo=UTC))
    assert "# Drill of 20261122T020000Z-base-7f3a: failed" in page
    assert "- [ ] **no** not corrupted: a b 'c'" in page


@given(st.dictionaries(st.builds(TableName, st.text(), st.text(), st.text()), st.none() | st.integers(0), max_size=30))
def test_counts_survive_their_json(counts: dict[TableName, int | None]) -> None:
    """What a drill recorded of its tables is what the next one reads."""
    found = Proof(BackupId("x"), "base", "local", True, (), (), 1.0, 1, 1, False, counts)
    assert counts_from_json(found.as_json()["tables"]) == counts


def test_globals_are_split_without_running_psql() -> None:
    r"""Semicolons in texts, names and comments end nothing, and psql's own lines, which could run programs, vanish."""
    script = (
        b'\\restrict abc\n-- a comment; with one\nCREATE ROLE "a;b";\n\\! touch /tmp/evil\n'
        b"ALTER ROLE \"a;b\" SET x TO 'it''s; here';\nCOMMENT ON ROLE \"a;b\" IS E'x\\'; y';\n\\unrestrict abc\n"
    )
    assert list(statements(script)) == [
        b'CREATE ROLE "a;b"',
        b"ALTER ROLE \"a;b\" SET x TO 'it''s; here'",
        b"COMMENT ON ROLE \"a;b\" IS E'x\\'; y'",
    ]


def test_verify_is_typed_in_any_order() -> None:
    """Cluster and id are told apart by their form; `latest` is no id."""
    backup = "20261122T020000Z-base-7f3a"
    assert parse_backup(f"verify slips {backup}", clusters=["slips", "other"]) == Verify(ClusterName("slips"), backup)
    assert parse_backup(f"verify {backup}", clusters=["slips"]) == Verify(ClusterName("slips"), backup)
    assert parse_backup("verify slips latest", clusters=["slips", "other"]) == Verify(ClusterName("slips"))
    file = "Shop_full_20260101_020000.backup.gz.enc"
    assert parse_backup(f"verify slips {file}", clusters=["slips"]) == Verify(ClusterName("slips"), file)


def proof(no: Question, detail: str = "no") -> Proof:
    """Return a proof that answers one question with no."""
    points = (Point(Question.TARGET, True, "it did"), Point(no, False, detail))
    return Proof(
        BackupId("20261122T020000Z-base-7f3a"),
        "base",
        "local",
        True,
        points,
        (("base: fetch", 1.0),),
        2.0,
        10,
        5,
        False,
        {},
    )
