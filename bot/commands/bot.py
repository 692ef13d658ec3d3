"""`pitstop run`, and what only it and the machine call: `job`, `healthcheck`."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.commands.output import AsJson, say, show


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("job", hidden=True)(job)
    app.command("healthcheck", hidden=True)(healthcheck)


def run() -> int:
    """Run the bot. Slack, the schedule, WAL receivers and jobs; a second one stands by."""
    from bot.commands.surroundings import read_config
    from bot.run import main

    return main(*read_config())


def job(run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]) -> int:
    """Execute one queued run in this process; the bot calls this."""
    from bot.commands.chosen import config_path
    from bot.job import main

    return main(run_id, config_path.get())


def healthcheck(as_json: AsJson = False) -> int:
    """Exit 0 when a bot leads here, else 1. Its ledger must answer too; for containers."""
    from bot.commands.status import health
    from bot.commands.surroundings import read_config

    config, path = read_config()
    problem = health(config, path)
    show({"ok": not problem, "problem": problem}, lambda: say(problem or "ok"), as_json=as_json)
    return 1 if problem else 0
