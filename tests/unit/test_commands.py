"""The command grammar: each line means one thing, and every refusal says what to type instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Usage
from bot.model.backup_commands import (
    BackupNow,
    ListBackups,
    Pause,
    Resume,
    ShowBackup,
    ShowRunbook,
    ShowSchedule,
    ShowStatus,
    parse_backup,
)
from bot.model.commands import (
    AskPitr,
    OpenForm,
    PitrCommand,
    ShowHelp,
    parse_pitr,
    parse_target,
    wants_form,
)
from bot.model.dumps import Part, Selection
from bot.model.ids import BackupId, ClusterName
from bot.model.targets import Target, TargetKind
from bot.model.wal import Lsn

ZONE = ZoneInfo("Asia/Bangkok")
NOW = datetime(2026, 11, 22, 9, 12, tzinfo=UTC)
CLUSTERS = ("slips", "orders")
SLIPS = ClusterName("slips")


def pitr(text: str) -> PitrCommand:
    """Read a /pitr line as somebody in Bangkok."""
    return parse_pitr(text, clusters=CLUSTERS, now=NOW, zone=ZONE)


def target(text: str) -> Target:
    """Read a target as somebody in Bangkok."""
    return parse_target(text, now=NOW, zone=ZONE)


def test_backup_reads_each_form() -> None:
    """Every documented line of /backup, in any case and with phones' spaces."""
    assert parse_backup("", clusters=CLUSTERS) == ShowStatus()
    assert parse_backup(" slips", clusters=CLUSTERS) == ShowStatus(SLIPS)
    assert parse_backup("status slips", clusters=CLUSTERS) == ShowStatus(SLIPS)
    assert parse_backup("NOW\u00a0Slips", clusters=CLUSTERS) == BackupNow(SLIPS)
    assert parse_backup("now slips DUMP", clusters=CLUSTERS) == BackupNow(SLIPS, "dump")
    assert parse_backup("now slips base", clusters=CLUSTERS) == BackupNow(SLIPS, "base")
    assert parse_backup("now dump", clusters=["slips"]) == BackupNow(SLIPS, "dump")
    assert parse_backup("now dump", clusters=["dump"]) == BackupNow(ClusterName("dump"))
    assert parse_backup("list slips", clusters=CLUSTERS) == ListBackups(SLIPS)
    assert parse_backup("help", clusters=CLUSTERS) == ShowHelp("/backup")
    assert parse_backup("list", clusters=["slips"]) == ListBackups(SLIPS)
    assert parse_backup("schedule", clusters=CLUSTERS) == ShowSchedule()
    assert parse_backup("schedule slips", clusters=CLUSTERS) == ShowSchedule(SLIPS)
    assert parse_backup("pause slips for 1d 12h", clusters=CLUSTERS) == Pause(SLIPS, timedelta(hours=36))
    assert parse_backup("pause 90m", clusters=["slips"]) == Pause(SLIPS, timedelta(minutes=90))
    assert parse_backup("resume slips", clusters=CLUSTERS) == Resume(SLIPS)
    assert parse_backup("runbook slips", clusters=CLUSTERS) == ShowRunbook(SLIPS)
    shown = parse_backup("show 20261122T020000Z-base-7f3a", clusters=CLUSTERS)
    assert shown == ShowBackup(BackupId("20261122T020000Z-base-7f3a"))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("now slips dump schema-only", Selection(Part.SCHEMA_ONLY)),
        ("NOW Slips DUMP Data\u2010Only", Selection(Part.DATA_ONLY)),
        (
            "now slips dump tables Users, audit.log and “Odd name”",
            Selection(tables=("Users", "audit.log", '"Odd name"')),
        ),
        ("now slips dump table Users", Selection(tables=("Users",))),
        ("now slips dump without audit.noise", Selection(exclude_tables=("audit.noise",))),
        (
            'now slips dump database "Odd ""db""" shop tables a without b schema-only',
            Selection(Part.SCHEMA_ONLY, ('Odd "db"', "shop"), ("a",), ("b",)),
        ),
    ],
)
def test_a_dump_of_a_part_is_asked_for_by_saying_it(line: str, wanted: Selection) -> None:
    """Chosen databases, definitions or rows alone, chosen tables, and all without some; in any order."""
    assert parse_backup(line, clusters=CLUSTERS) == BackupNow(SLIPS, "dump", wanted)
    assert parse_backup(line.lower().replace("now slips", "now"), clusters=["slips"]).selection.part is wanted.part  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("now slips dump of everything", "“of”"),
        ("now slips dump tables", "Which tables"),
        ("now slips dump without", "Which tables"),
        ("now slips dump database tables x", "Which databases"),
        ("now slips dump schema-only data-only", "nothing together"),
        ("now slips dump schema-only Users", "“Users”"),
    ],
)
def test_a_dump_of_nothing_is_refused(line: str, said: str) -> None:
    """Each with what was wrong and the line that says everything there is to say."""
    with pytest.raises(Usage) as refused:
        parse_backup(line, clusters=CLUSTERS)
    assert said in refused.value.message
    assert "without" in refused.value.hint


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("noww slips", "`/backup now slips`"),
        ("lst", "`/backup list`"),
        ("now slps", "`slips`"),
        ("now", "`orders`, `slips`"),
        ("now slips orders", "/backup now"),
        ("🦀" * 1000, "help"),
        ("pause slips", "`/backup pause slips 2h`"),
        ("pause slips soon", "`2h`"),
        ("pause slips 30d", "`off`"),
        ("pause slips 2", "`2h`"),
        ("pause slps 2h", "`slips`"),
        ("show", "/backup list"),
        ("show yesterday", "/backup list"),
        ("resum slips", "`/backup resume slips`"),
        ("verify slips 2026", "`/backup list slips`"),
        ("verify 2026 slips", "`/backup list slips`"),
    ],
)
def test_backup_refusals_say_what_was_probably_meant(line: str, hint: str) -> None:
    """An unknown word or cluster is answered with the nearest known line."""
    with pytest.raises(Usage) as refused:
        parse_backup(line, clusters=CLUSTERS)
    assert hint in refused.value.hint


def test_pitr_reads_cluster_target_and_reason() -> None:
    """The typed form carries everything the form asks for."""
    asked = pitr("slips before 14:30 reason: dropped the “Transactions” table")
    assert isinstance(asked, AskPitr)
    assert (asked.cluster, asked.target_text, asked.reason) == (
        SLIPS,
        "before 14:30",
        "dropped the “Transactions” table",
    )
    assert asked.target == Target(
        TargetKind.TIME,
        before=True,
        at=datetime(2026, 11, 22, 7, 30, tzinfo=UTC),
        read_as="before 2026-11-22 14:30:00 Asia/Bangkok = 07:30:00 UTC",
    )
    assert pitr("") == OpenForm()
    assert pitr("slips") == OpenForm(SLIPS)
    assert pitr("help") == ShowHelp("/pitr")


def test_the_form_is_recognised_without_looking_anything_up() -> None:
    """Only an empty line or a lone cluster opens the form."""
    assert wants_form("", clusters=CLUSTERS)
    assert wants_form(" slips ", clusters=CLUSTERS)
    assert not wants_form("help", clusters=CLUSTERS)
    assert not wants_form("slips latest", clusters=CLUSTERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latest", Target(TargetKind.LATEST)),
        ("xid:84213", Target(TargetKind.XID, xid=84213)),
        ("XID: 84213", Target(TargetKind.XID, xid=84213)),
        ("before:xid:84213", Target(TargetKind.XID, before=True, xid=84213)),
        ("before xid:84213", Target(TargetKind.XID, before=True, xid=84213)),
        ("point:before-migration", Target(TargetKind.POINT, point="before-migration")),
        ("point:before—migration", Target(TargetKind.POINT, point="before-migration")),
        ('point:"before—migration"', Target(TargetKind.POINT, point="before—migration")),
        ('before:point:"a  b"', Target(TargetKind.POINT, before=True, point="a  b")),
        ("lsn:0/16B3748", Target(TargetKind.LSN, lsn=Lsn.parse("0/16B3748"))),
    ],
)
def test_targets_of_every_kind(text: str, expected: Target) -> None:
    """Each kind of target, in the forms people type."""
    assert target(text) == expected


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "bad-target", "no target"),
        ("now", "bad-target", "latest"),
        ("before drop Transactions", "bad-target", "before:xid"),
        ("before latest", "bad-target", "not a target"),
        ("before:lsn:0/16B3748", "bad-target", "no more than"),
        ("before before 14:30", "bad-target", "twice"),
        ("before " * 250 + "14:30", "bad-target", "twice"),
        ("xid:abc", "bad-target", "xid:84213"),
        ("xid:2", "bad-target", "begin at 3"),
        ("xid:4294967300", "bad-target", "xid:4"),
        ("lsn:nonsense", "bad-target", "lsn:0/16B3748"),
        ("lsn:0/0", "bad-target", "not a position"),
        ("point:", "bad-target", "1 to 63 bytes"),
        ("point:" + "é" * 32, "bad-target", "63 bytes"),
        ("2026-11-22 17:00", "future-time", "read as 2026-11-22 17:00:00 Asia/Bangkok"),
        ("today 23:00", "future-time", "latest"),
        ("🦀" * 10_000, "too-long", "10,000 characters"),
    ],
)
def test_target_refusals(text: str, code: str, says: str) -> None:
    """A refusal has a stable code, says how the text was read, and what to write."""
    with pytest.raises(Usage) as refused:
        target(text)
    assert refused.value.reason_code == code
    assert says in str(refused.value)


def test_a_target_without_a_cluster_is_answered_with_the_whole_line() -> None:
    """Forgetting the cluster costs one correction, not a guess at which was meant."""
    with pytest.raises(Usage) as refused:
        pitr("14:30")
    assert refused.value.hint == "Did you mean `/pitr orders 14:30`?"


@pytest.mark.parametrize("paste", ["🦀" * 10_000, "*_~`<!channel>" * 800, "slips " + "x" * 9_994])
def test_ten_thousand_characters_get_one_sentence(paste: str) -> None:
    """A paste by mistake is refused by its length, without repeating it."""
    for refuse in (lambda: pitr(paste), lambda: parse_backup(paste, clusters=CLUSTERS)):
        with pytest.raises(Usage) as refused:
            refuse()
        assert len(str(refused.value)) < 200


@given(st.text(max_size=400) | st.text("beforxidpontls:\"' -/0123456789", max_size=60))
def test_no_text_crashes_the_grammars(text: str) -> None:
    """Any text is understood or refused with a hint; a target that is understood survives the ledger's JSON."""
    for read in (
        lambda: target(text),
        lambda: pitr(text),
        lambda: pitr("slips " + text),
        lambda: parse_backup(text, clusters=CLUSTERS),
    ):
        try:
            found = read()
        except Usage as refused:
            sound = bool(refused.message and refused.hint)
        else:
            sound = not isinstance(found, Target) or Target.from_json(found.as_json()) == found
        assert sound


def test_a_word_after_a_cluster_is_the_one_that_is_not_known() -> None:
    """`/backup now slips full` names the word it does not know, and both lines there are."""
    with pytest.raises(Usage, match="“full”") as refused:
        parse_backup("now slips full", clusters=["slips", "orders"])
    assert "`/backup now slips dump`" in refused.value.hint


@pytest.mark.parametrize(
    ("line", "wanted"), [("x" * 3000, "`/backup help`"), ("pin nonsense", "`/backup list orders`")]
)
def test_hints_name_what_can_be_typed(line: str, wanted: str) -> None:
    """Too long a line leads to its own command's help, and an example names a cluster that is there."""
    with pytest.raises(Usage) as refused:
        parse_backup(line, clusters=["slips", "orders"])
    assert wanted in refused.value.hint


def test_a_zone_is_repeated_as_it_was_typed() -> None:
    """An abbreviation that names several zones comes back in its own capitals."""
    with pytest.raises(Usage, match="“CST”"):
        parse_target("14:30 CST", now=NOW, zone=ZONE)
