"""`/restore`: each line means one thing, and every refusal says what to type instead."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Usage
from bot.model.commands import OpenForm, ShowHelp
from bot.model.dumps import Part
from bot.model.ids import ClusterName
from bot.model.restore_commands import AskRestore, parse_restore, wants_restore_form
from bot.model.restores import Wanted

CLUSTERS = ("slips", "orders")
SLIPS = ClusterName("slips")
ID = "20261122T023000Z-dump-7f3a"


def asked(text: str) -> AskRestore:
    """Read a line that asks."""
    found = parse_restore(text, clusters=CLUSTERS)
    assert isinstance(found, AskRestore)
    return found


@pytest.mark.parametrize(
    ("line", "wanted", "destination"),
    [
        ("slips latest into monday", Wanted(), {"kind": "database", "database": "monday"}),
        ("slips into monday", Wanted(), {"kind": "database", "database": "monday"}),
        ("Slips VERIFIED into “Mon.day”", Wanted("verified"), {"kind": "database", "database": "Mon.day"}),
        (f"slips {ID} into shop.rescued", Wanted(ID), {"kind": "schema", "database": "shop", "schema": "rescued"}),
        (
            'slips latest into shop.rescued tables Transactions, audit.log and "Odd, name" database shop',
            Wanted("latest", "shop", Part.FULL, ("Transactions", "audit.log", '"Odd, name"')),
            {"kind": "schema", "database": "shop", "schema": "rescued"},
        ),
        ("slips into empty schema—only", Wanted(part=Part.SCHEMA_ONLY), {"kind": "database", "database": "empty"}),
        ("slips data-only into rows", Wanted(part=Part.DATA_ONLY), {"kind": "database", "database": "rows"}),
        ("slips latest in place", Wanted(), {"kind": "in-place", "database": None}),
        ("slips In Place database shop", Wanted(database="shop"), {"kind": "in-place", "database": None}),
        (f"slips {ID} database shop in place", Wanted(ID, "shop"), {"kind": "in-place", "database": None}),
        ('slips database "in" in place', Wanted(database="in"), {"kind": "in-place", "database": None}),
        (
            "slips Shop_full_20260101.backup.gz.enc into old",
            Wanted("Shop_full_20260101.backup.gz.enc"),
            {"kind": "database", "database": "old"},
        ),
        ("slips into place", Wanted(), {"kind": "database", "database": "place"}),
        ("slips into in", Wanted(), {"kind": "database", "database": "in"}),
        ("slips into /srv/copy/", Wanted(), {"kind": "beside", "directory": "/srv/copy", "port": None}),
    ],
)
def test_each_form_is_read(line: str, wanted: Wanted, destination: dict[str, Any]) -> None:
    """Backup, part, tables and destination in any order, with phones' quotes and dashes; the reason comes last."""
    found = asked(f"{line} reason: the night’s deploy")
    assert (found.cluster, found.wanted, found.destination) == (SLIPS, wanted, destination)
    assert found.reason == "the night’s deploy"


def test_forms_and_help() -> None:
    """Nothing, or a cluster alone, opens the form."""
    assert parse_restore("", clusters=CLUSTERS) == OpenForm()
    assert parse_restore("slips", clusters=CLUSTERS) == OpenForm(SLIPS)
    assert parse_restore("help", clusters=CLUSTERS) == ShowHelp("/restore")
    assert wants_restore_form(" Slips ", clusters=CLUSTERS)
    assert not wants_restore_form("slips latest into x", clusters=CLUSTERS)


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        ("slps latest into x", "unknown-cluster", "`slips`"),
        ("slips latest", "no-destination", "into NEWNAME"),
        ("slips latest into", "no-destination", "into NEWNAME"),
        ("slips latest into a b", "no-destination", "into NEWNAME"),
        ("slips yesterday into x", "unknown-backup", "/backup list"),
        ("slips latest monday into x", "bad-restore", "into NEWNAME"),
        ("slips latest into x schema-only data-only", "which-part", "one out"),
        (f"slips latest into {'x' * 64}", "bad-name", "63"),
        ("slips latest into x database a b", "no-destination", "into NEWNAME"),
        ("slips latest in", "bad-restore", "into NEWNAME"),
        ("slips latest in plce", "bad-restore", "latest in place"),
        ("slips lates into y", "unknown-backup", "Did you mean `latest`?"),
        ("slips latest place", "bad-restore", "into NEWNAME"),
        ("slips latest in place shop", "bad-restore", "latest in place"),
        ("slips latest into x in place", "two-destinations", "latest in place"),
        ("slips latest into in place", "two-destinations", "into NEWNAME"),
        ("slips latest in place schema-only", "in-place-whole", "new schema"),
        ("slips latest in place data-only", "in-place-whole", "new schema"),
        ("slips latest in place tables Transactions", "in-place-whole", "new schema"),
        ("slips latest tables in place", "in-place-whole", "new schema"),
    ],
)
def test_refusals_say_what_to_type(line: str, code: str, hint: str) -> None:
    """An unknown word, a missing destination and an impossible name are refused with the line to write."""
    with pytest.raises(Usage) as refused:
        parse_restore(line, clusters=CLUSTERS)
    assert refused.value.reason_code == code
    assert hint in refused.value.hint


@given(text=st.text(max_size=200))
def test_anything_is_read_or_refused(text: str) -> None:
    """Whatever is typed after a cluster and a destination, it is one command or one refusal."""
    for line in (text, f"slips {text}", f"slips latest into x {text}", f"slips latest in place {text}"):
        with suppress(Usage):
            assert isinstance(parse_restore(line, clusters=CLUSTERS), OpenForm | ShowHelp | AskRestore)
