"""What `--help` says: every command has a sentence that fits its line, and the README's commands exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from bot.cli import app, config_first

COLUMN = 60
WANTED = {
    "demo", "run", "check", "status", "list", "pitr", "restore", "mark", "manifest", "healthcheck", "job",
    "show", "runbook", "schedule", "pause", "resume",
    "backup base",
    "backup dump",
    "request new", "request list", "request show", "request confirm", "request approve", "request deny", "request cancel",
    "request stop", "verify", "import", "scrub", "sync", "expire", "pin", "unpin",
    "alert list", "alert ack", "alert snooze", "alert resolve",
    "kept list", "kept keep", "kept undo", "kept remove",
    "server list", "server extend", "server stop", "server remove",
    "wal stream", "wal status", "wal push", "wal fetch",
    "keys init", "keys list", "keys check", "keys rotate", "storage setup", "audit verify", "audit export",
}  # fmt: skip
WITHOUT_JSON = {"demo", "run", "job", "wal stream", "wal push", "wal fetch"}


def leaves(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def test_the_commands_are_those_of_the_design() -> None:
    """No command is missing, and none appears that nobody wrote down."""
    assert {words for words, _ in leaves(get_command(app))} == WANTED


def test_each_command_says_what_it_does_in_one_line() -> None:
    """The first sentence fits its line in the list of commands; options explain themselves too."""
    for words, command in leaves(get_command(app)):
        short = command.get_short_help_str(limit=COLUMN + 4)
        assert short, words
        assert "..." not in short, f"{words}: {short}"
        for option in command.params:
            assert getattr(option, "help", None), f"{words}: {option.name}"


def test_every_answer_can_be_had_as_json() -> None:
    """All commands take --json, except those that run on and those the machine calls."""
    lacking = {
        words
        for words, command in leaves(get_command(app))
        if not any("--json" in getattr(option, "opts", ()) for option in command.params)
    }
    assert lacking == WITHOUT_JSON


def test_config_may_stand_anywhere() -> None:
    """`--config` after the command is moved to where the parser wants it; after `--` nothing is."""
    assert config_first(["list", "slips", "--config", "x"]) == ["--config", "x", "list", "slips"]
    assert config_first(["list", "--config=x", "slips"]) == ["--config=x", "list", "slips"]
    assert config_first(["list", "--", "--config", "x"]) == ["list", "--", "--config", "x"]
    assert config_first(["list", "--config"]) == ["--config", "list"]
