"""docs/commands.md: every example is read as the page says, and the commands are those there are."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.errors import Usage
from bot.model.backup_commands import parse_backup
from bot.model.commands import parse_pitr, parse_target
from bot.model.restore_commands import parse_restore
from tests.unit.test_cli_help import WANTED

PAGE = (Path(__file__).parents[2] / "docs/commands.md").read_text("utf-8")
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Bangkok")


def rows(section: str, head: str) -> list[list[str]]:
    """Return the cells of the table with `head` as its first column in a section."""
    text = PAGE.partition(f"\n{section}\n")[2]
    lines = text.partition(f"\n| {head} |")[2].splitlines()[2:]
    table = lines[: next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def spans(cell: str) -> list[str]:
    """Return the code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)


READ = [text for section in ("## TARGET", "## Times") for row in rows(section, "typed") for text in spans(row[0])]
REFUSED = [(text, spans(row[1])[0]) for row in rows("## Times", "refused") for text in spans(row[0])]


@pytest.mark.parametrize("text", READ)
def test_targets_that_are_read(text: str) -> None:
    """Each target and time of the page is understood, in the past."""
    target = parse_target(text, now=NOW, zone=ZONE)
    assert target.at is None or target.at <= NOW


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_targets_that_are_refused(text: str, code: str) -> None:
    """Each refused one is refused for the page's reason, with a hint."""
    with pytest.raises(Usage) as refused:
        parse_target(text, now=NOW, zone=ZONE)
    assert refused.value.reason_code == code
    assert refused.value.hint


def test_slack_commands_of_the_page() -> None:
    """Each line for Slack is read, with a cluster and a target in place of the words in capitals."""
    lines = [text for row in rows("## In Slack", "typed") for text in spans(row[0])]
    assert len(lines) >= 9
    for line in lines:
        typed = line.replace("[", "").replace("]", "").replace("CLUSTER", "slips").replace("TARGET", "14:30")
        word, _, rest = typed.partition(" ")
        if word == "/backup":
            assert parse_backup(rest, clusters=["slips"])
        elif word == "/restore":
            assert parse_restore(rest, clusters=["slips"])
        else:
            assert parse_pitr(rest, clusters=["slips"], now=NOW, zone=ZONE)


def test_host_commands_of_the_page() -> None:
    """The page names every command there is, and none that is not."""
    named = {" ".join(text.split()[1:]) for row in rows("## On the host", "command") for text in spans(row[0])}
    found = {command for command in WANTED for text in named if re.match(rf"{command}(?= |$)", text)}
    assert found == WANTED - {"job"}
    assert all(any(re.match(rf"{command}(?= |$)", text) for command in WANTED) for text in named)
