"""Files of older scripts in Slack: listed after the backups, and offered by the form of `/restore`; from the ledger alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.ledger import catalogue, contents, old_backups
from bot.model.contents import Contents
from bot.model.ids import BackupId
from bot.model.old_backups import OldBackup
from bot.slack.cards import actions
from bot.slack.cards.status import list_card
from tests.unit.card_rows import Rows
from tests.unit.desk_world import ALICE, NOON, SLIPS
from tests.unit.handler_world import Office, new_office

DUMP = BackupId("20260101T020000Z-dump-7f3a")
FILES = tuple(
    OldBackup(Path(f"/backups/daily/shop_{day}.backup.gz.enc"), day * 1000, NOON - timedelta(days=9 - day))
    for day in range(1, 4)
)


@pytest.fixture
def office() -> Iterator[Office]:
    """Return an office where three files lie, of which the newest was imported."""
    with new_office() as opened:
        with opened.world.ledger.transaction() as tx:
            old_backups.replace(tx, SLIPS, FILES)
            made = replace(Rows(1).backup(), id=DUMP, kind="dump", damaged=None, finished_at=NOON)
            catalogue.replace(tx, SLIPS, "local", [made])
            body = {"mode": "full", "databases": [], "imported": {"file": FILES[-1].path.name}}
            contents.put(tx, SLIPS, DUMP, Contents.of_body(body))
        yield opened


def test_they_are_listed_with_what_became_of_them(office: Office) -> None:
    """The newest first, each with its age and size; the one that was imported names its dump."""
    with office.world.ledger.read() as tx:
        known = old_backups.list(tx, SLIPS)
    assert [one.imported for one in known] == [None, None, DUMP]
    said = list_card(SLIPS, [], [], now=NOON, old=known).text
    third, first = (said.index(one.path.name) for one in (FILES[2], FILES[0]))
    assert third < first
    assert f"imported as `{DUMP}`" in said
    assert said.count("not imported") == 2
    assert "/restore slips FILE into NAME" in said
    assert "Old backups" not in list_card(SLIPS, [], [], now=NOON).text
    many = list_card(SLIPS, [], [], now=NOON, old=FILES * 5).text
    assert "and 5 older ones" in many


def test_the_form_offers_those_that_were_not_imported(office: Office) -> None:
    """By what is typed of their names; what was imported is there as its dump."""
    assert offered(office, "shop_") == [one.path.name for one in reversed(FILES[:2])]
    assert offered(office, "SHOP_1") == [FILES[0].path.name]
    assert offered(office, "dump-7f3a") == [DUMP]


def offered(office: Office, typed: str) -> Sequence[str]:
    """Return the values that the form's picker of backups answers."""
    payload = {"type": "block_suggestion", "action_id": actions.BACKUP_OPTIONS, "block_id": "backup", "value": typed}
    answer = office.interact(payload, ALICE)
    return [str(one["value"]) for one in json.loads(answer.body)["options"]]


def test_what_is_gone_from_the_folder_is_gone_from_the_list(office: Office) -> None:
    """The list is replaced as a whole, and a cluster has its own."""
    with office.world.ledger.transaction() as tx:
        old_backups.replace(tx, SLIPS, FILES[1:2])
    with office.world.ledger.read() as tx:
        assert old_backups.files(tx, SLIPS) == [FILES[1]]
