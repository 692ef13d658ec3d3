"""`pitstop expire`: retention now, or what it would do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show, when

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("expire")(expire)


def expire(
    cluster: Cluster,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and why; remove nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where more than the configured share of all backups goes at once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than CLUSTER's rules keep it, and say why.

    Exit code 1: a repository could not be reached or did not let go of something; 3: too much would go at once.
    """
    from bot.commands.following import carry_through
    from bot.commands.surroundings import surroundings
    from bot.model.runs import Job
    from jobs.retention import preview

    here = surroundings()
    name, _ = here.cluster(cluster, "expire")
    if dry_run:
        result = preview(here.config, here.ledger, name, here.now())
    else:
        args = {"force": True} if force else {}
        result = carry_through(here, Job.RETENTION, name, args, quiet=as_json)
    show(result, lambda: _say(result), as_json=as_json)
    if not result["ok"]:
        raise typer.Exit(1)


def _say(result: dict[str, Any]) -> None:
    from bot.slack.text import count, size

    would = result["dry_run"]
    for one in result["repositories"]:
        say(f"{one['repository']} ({one['system_id']})")
        for backup in one["kept"]:
            say(f"  stays       {backup['id']}  {backup['reason']}")
        for backup in one["removed"]:
            say(f"  {'would go' if would else 'went':<11} {backup['id']}  {backup['reason']}")
        for backup in one["refused"]:
            say(f"  could not go {backup['id']}  {backup['reason']}")
        for left in one["leftovers"]:
            say(f"  leftover    {left['id']}  {left['state']}: {left['reason']}")
        for part in one["wal"]["ranges"]:
            say(f"  {'would go' if would else 'went':<11} WAL {part['first']} to {part['last']}")
        for part in one["recovery_window"]["after"]:
            say(f"  recoverable {_time(part['from'])} to {_time(part['to'])}")
        if one["too_many"]:
            remark(f"Note: {one['too_many']} Without --force nothing goes.")
    freed = size(int(result["bytes_freed"]))
    say(f"{count(len(result['removed']), 'backup')} {'would go' if would else 'went'}, {freed} freed.")
    for problem in result["problems"]:
        remark(f"Problem: {problem}")


def _time(text: str) -> str:
    return when(datetime.fromisoformat(text))
