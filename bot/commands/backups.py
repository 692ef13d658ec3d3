"""`pitstop backup base` and `pitstop list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from bot.model.backups import BackupSummary

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Make a backup now.", rich_markup_mode=None)
    group.command("base")(base)
    app.add_typer(group, name="backup")
    app.command("list")(list_backups)


def base(cluster: Cluster, as_json: AsJson = False) -> None:
    """Take a base backup of CLUSTER now and wait for it."""
    import time

    from bot import desk
    from bot.commands.following import finish
    from bot.commands.surroundings import surroundings
    from bot.model.runs import Job

    here, started = surroundings(), time.monotonic()
    name, _ = here.cluster(cluster, "backup")
    run = desk.queue_run(
        here.ledger,
        job=Job.BASE_BACKUP,
        cluster=name,
        args={},
        by=here.me.key,
        at=here.now(),
        entropy=here.entropy(),
    )
    result = {**finish(here, run.id, quiet=as_json), "run": run.id}
    show(result, lambda: _say_backup(result, time.monotonic() - started), as_json=as_json)


def _say_backup(result: dict[str, Any], seconds: float) -> None:
    from bot.slack.text import size, span

    read, stored = int(result.get("bytes_read", 0)), int(result.get("bytes_stored", 0))
    took = span(float(result.get("seconds", seconds)))
    say(f"{result.get('id')}: {size(read)} read, {size(stored)} stored, in {took}.")


def list_backups(cluster: Cluster, as_json: AsJson = False) -> None:
    """List the backups of CLUSTER and how far back it can go. Its repositories are asked, not the ledger."""
    from bot.commands.surroundings import surroundings
    from jobs.catalogue import renew_catalogue
    from jobs.plan import measured_window

    here = surroundings()
    name, _ = here.cluster(cluster, "list")
    found = renew_catalogue(here.config, here.ledger, name)
    window = [part.as_json() for part in measured_window(here.config, here.ledger, name)]
    document = {
        "cluster": name,
        "backups": [{**backup.as_json(), "repositories": where} for backup, where in found],
        "recovery_window": window,
    }
    show(document, lambda: _say_list(found, window), as_json=as_json)


def _say_list(found: list[tuple[BackupSummary, list[str]]], window: list[dict[str, str]]) -> None:
    from datetime import datetime

    from bot.slack.text import size, span

    rows = [
        (
            backup.id,
            when(backup.started_at),
            span((backup.finished_at - backup.started_at).total_seconds()),
            size(backup.bytes_stored),
            ", ".join(where),
            f"damaged: {backup.damaged}" if backup.damaged else ("verified" if backup.verified_at else ""),
        )
        for backup, where in found
    ]
    head = ("backup", "started", "took", "stored", "repositories", "")
    table(head, rows, empty="No backups yet. `pitstop backup base CLUSTER` makes one.")
    for part in window:
        say(
            f"Recoverable from {when(datetime.fromisoformat(part['from']))} to {when(datetime.fromisoformat(part['to']))}"
        )
    if not window:
        say("Nothing can be recovered to a point in time yet: that needs a base backup and the WAL after it.")
