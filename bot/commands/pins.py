"""`pitstop pin` and `pitstop unpin`."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.commands.output import AsJson, remark, say, show

Backup = Annotated[str, typer.Argument(metavar="ID", help="A backup's id; `pitstop list` shows them.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("pin")(pin)
    app.command("unpin")(unpin)


def pin(backup: Backup, as_json: AsJson = False) -> None:
    """Keep a backup beyond its age, until it is unpinned."""
    _pin(backup, pinned=True, as_json=as_json)


def unpin(backup: Backup, as_json: AsJson = False) -> None:
    """Let retention judge a pinned backup by its age again."""
    _pin(backup, pinned=False, as_json=as_json)


def _pin(backup: str, *, pinned: bool, as_json: bool) -> None:
    from bot import desk
    from bot.commands.asking import caller_on
    from bot.commands.backup_show import located
    from bot.commands.following import finish
    from bot.commands.surroundings import surroundings

    here = surroundings()
    found = located(here, backup)
    run = desk.pin(here.ledger, caller_on(here, found.cluster, "pin"), found.cluster, found.id, pinned=pinned)
    result = finish(here, run.id, quiet=as_json)
    word = "pinned" if pinned else "not pinned any more"

    def lines() -> None:
        say(f"{found.id} is {word} in {', '.join(result['repositories'])}.")
        for name, why in result["away"].items():
            remark(f"Note: {name} gets the word from the next sync: {why}")

    show(result, lines, as_json=as_json)
