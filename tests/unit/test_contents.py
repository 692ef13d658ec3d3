"""What is in a backup, in short: read from a manifest's body, kept in the ledger, shown in one card."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.ledger import Ledger, catalogue, contents
from bot.model import contents as model
from bot.model.backups import BackupSummary
from bot.model.contents import Contents
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.wal import Lsn
from bot.slack.cards.backup import BackupView, backup_card

SLIPS = ClusterName("slips")
AT = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)
DUMP, BASE = BackupId("20261122T023000Z-dump-7f3a"), BackupId("20261122T020000Z-base-7f3a")
BODY = {
    "mode": "full",
    "server_facts": {"version": "PostgreSQL 16.2 on x86_64", "operating_system": "Linux", "data_checksums": True},
    "databases": [
        {
            "name": "Slips <b>",
            "encoding": "UTF8",
            "large_objects": 2,
            "tables": [
                {"schema": "public", "name": "Users", "rows": 12, "note": ""},
                {"schema": "public", "name": "Transactions", "rows": 1204551, "note": ""},
                {"schema": "audit", "name": "far", "rows": None, "note": "a foreign table"},
            ],
        }
    ],
    "warnings": ["Roles were dumped without passwords: pitstop is no superuser."],
}


def summary(backup: BackupId) -> BackupSummary:
    """Return a backup's summary."""
    kind = "dump" if "dump" in backup else "base"
    finished, lsn = AT + timedelta(minutes=4), Lsn.parse("0/3000028")
    return BackupSummary(
        backup, kind, SLIPS, SystemId("1"), AT, finished, 1, lsn, lsn, 10**9, 10**8, 160002, 1 << 24, "ab" * 32
    )


def test_contents_survive_the_ledger(tmp_path: Path) -> None:
    """What a manifest's body says is found again as it was, and goes when no repository holds the backup any more."""
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.create()
    known = Contents.of_body(BODY)
    with ledger.transaction() as tx:
        catalogue.replace(tx, SLIPS, "local", [summary(BASE), summary(DUMP)])
        assert contents.unknown(tx, SLIPS, "local") == [DUMP, BASE]
        contents.put(tx, SLIPS, DUMP, known)
        assert contents.unknown(tx, SLIPS, "local") == [BASE]
        assert contents.find(tx, SLIPS, DUMP) == known
        catalogue.replace(tx, SLIPS, "local", [summary(BASE)])
        contents.forget_gone(tx, SLIPS)
        assert contents.find(tx, SLIPS, DUMP) is None
    assert json.loads(json.dumps(known.as_json())) == known.as_json()


def test_a_base_backup_names_its_databases_alone() -> None:
    """Of a base backup the databases are known from the server's facts, their tables are not."""
    names = ("postgres", "template0", "template1")  # what every server comes with is nobody's content
    facts = {"version": "PostgreSQL 18.1", "databases": [{"name": name, "encoding": "UTF8"} for name in names]}
    found = Contents.of_body({"server_facts": facts})
    assert [(one.name, one.tables) for one in found.databases] == [("postgres", ())]
    assert found.part == ""


def test_a_database_of_very_many_tables_is_kept_in_part() -> None:
    """The ledger's copy is bounded, and says how much it leaves out."""
    many = [{"schema": "s", "name": f"t{n:05}", "rows": 1} for n in range(model.MAX_TABLES + 7)]
    found = Contents.of_body({"databases": [{"name": "big", "encoding": "UTF8", "tables": many}, {"name": "other"}]})
    assert len(found.databases[0].tables) == model.MAX_TABLES
    assert found.omitted == 7
    assert found.databases[1].name == "other"


def test_one_backup_is_shown_whole() -> None:
    """Sizes, WAL, places, the largest tables first and what was not counted; names from the database are escaped."""
    view = BackupView(summary(DUMP), ("local", "offsite"), Contents.of_body(BODY))
    text = backup_card(view, now=AT + timedelta(hours=5)).text
    for said in (
        "Dump of slips",
        DUMP,
        "100 MB stored of 1.0 GB",
        "0/3000028",
        "`local`, `offsite`",
        "PostgreSQL 16.2",
    ):
        assert said in text
    assert "Slips &lt;b&gt;" in text
    assert "2 large objects" in text
    assert text.index("Transactions") < text.index("Users") < text.index("a foreign table")
    assert "without passwords" in text


def test_a_backup_nobody_has_read_yet_says_so() -> None:
    """Without its contents a backup is still shown."""
    text = backup_card(BackupView(summary(BASE), ("local",), None), now=AT + timedelta(hours=5)).text
    assert "read from its manifest" in text


def test_a_card_says_the_server_whole_and_what_comes_next() -> None:
    """The compiler is left out instead of cut in its brackets; what is verified already is not to be proved again."""
    words = "PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14) 12.2.0, 64-bit"
    facts = {"version": "15.14 (Debian 15.14-0+deb12u1)", "operating_system": words, "data_checksums": True}
    inside = Contents.of_body({"server_facts": facts})
    fresh = backup_card(BackupView(summary(BASE), ("local",), inside), now=AT).text.replace("\u200b", "")
    assert "PostgreSQL 15.14 (Debian 15.14-0+deb12u1) on x86_64-pc-linux-gnu, with data checksums" in fresh
    assert "Prove it with" in fresh
    for backup, word in ((BASE, "/pitr slips TARGET"), (DUMP, f"/restore slips {DUMP}")):
        proved = replace(summary(backup), verified_at=AT)
        shown = backup_card(BackupView(proved, ("local",), inside), now=AT).text
        assert (word in shown, "Prove it" in shown) == (True, False)
