"""Hints written for the terminal, as Slack says them."""

from __future__ import annotations

import pytest

from bot.slack.hints import in_slack


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Take one: `pitstop backup dump slips`.", "Take one: `/backup now slips dump`."),
        ("Take one: `pitstop backup base my-db_2`.", "Take one: `/backup now my-db_2`."),
        ("`pitstop status slips` shows how far it is.", "`/backup status slips` shows how far it is."),
        ("`pitstop status` shows what runs.", "`/backup status` shows what runs."),
        ("`pitstop verify slips` proves the newest.", "`/backup verify slips` proves the newest."),
        ("Their reports say why: pitstop verify slips", "Their reports say why: /backup verify slips"),
        (
            "Restore the definitions first: --schema-only; or name other tables with --table.",
            "Restore the definitions first: `schema-only`; or name other tables with `table`.",
        ),
        ("--data-only --into-database NAME.", "`data-only` `into NAME`."),
        ("Use --into-directory alone.", "Use `into /PATH` alone."),
        ("Leave it out with --exclude-table.", "Leave it out with `without`."),
        ('Which one? --database "a b"', 'Which one? `database` "a b"'),
    ],
)
def test_a_hint_names_what_can_be_typed_in_slack(written: str, said: str) -> None:
    """The command and the options of the host become those of Slack; saying it again changes nothing."""
    assert in_slack(written) == said
    assert in_slack(said) == said


@pytest.mark.parametrize(
    "hint",
    [
        "`pitstop check`",
        "`pitstop verify --json`",
        "`pitstop runbook slips` on the host writes it now.",
        "`pitstop status` on the host says more.",
        "`pitstop request approve r1 --type-cluster NAME`, or the form behind the card's button.",
        "CREATE TABLESPACE x LOCATION '…'; -- an empty folder of the server's account",
        "Leave it out with --globals-only.",
    ],
)
def test_what_has_no_word_in_slack_stays(hint: str) -> None:
    """A command that only the host has is named as it is."""
    assert in_slack(hint) == hint
