"""`pitstop runbook`: how a cluster is restored, with the bot and without it."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.commands.output import AsJson, say, show


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("runbook")(runbook)


def runbook(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")],
    as_json: AsJson = False,
) -> None:
    """Print how CLUSTER is restored, with and without the bot.

    It is brought up to date first, here and in the repositories; where those are away, the last one is printed.
    """
    from bot.commands.output import remark
    from bot.commands.surroundings import surroundings
    from bot.errors import Unavailable
    from bot.ledger import runbooks
    from jobs.catalogue import renew_catalogue
    from jobs.runbook import keep_runbook

    here = surroundings()
    name, _ = here.cluster(cluster, "runbook")
    try:
        renew_catalogue(here.config, here.ledger, name)
        text = keep_runbook(here.config, here.ledger, name, here.now())
    except Unavailable as error:
        with here.ledger.read() as tx:
            kept = runbooks.find(tx, name)
        if kept is None:
            raise
        remark(f"Note: not brought up to date: {error.message}")
        text = kept.body
    show({"cluster": name, "markdown": text}, lambda: say(text), as_json=as_json)
