"""`pitstop backup base`, `pitstop backup dump` and `pitstop list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show, table, when

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.model.backups import BackupSummary
    from bot.model.runs import Job
    from jobs.catalogue import Listed

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Make a backup now.", rich_markup_mode=None)
    group.command("base")(base)
    group.command("dump")(dump)
    app.add_typer(group, name="backup")
    app.command("list")(list_backups)


def base(cluster: Cluster, as_json: AsJson = False) -> None:
    """Take a base backup of CLUSTER now and wait for it."""
    from bot.model.runs import Job

    _back_up(cluster, Job.BASE_BACKUP, {}, as_json=as_json)


def dump(
    cluster: Cluster,
    databases: Annotated[
        list[str] | None,
        typer.Option("--database", metavar="D", help="A database (default: the configured ones, or all)."),
    ] = None,
    schema_only: Annotated[bool, typer.Option("--schema-only", help="The definitions, without rows.")] = False,
    data_only: Annotated[bool, typer.Option("--data-only", help="The rows, without definitions.")] = False,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="T", help="A table and its partitions: schema.Name, exactly (default: all)."),
    ] = None,
    exclude_tables: Annotated[
        list[str] | None, typer.Option("--exclude-table", metavar="T", help="Leave a table and its partitions out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Dump the databases of CLUSTER now and wait for it."""
    from bot.errors import Usage
    from bot.model.dumps import Part, Selection
    from bot.model.runs import Job

    if schema_only and data_only:
        raise Usage("--schema-only and --data-only leave nothing.", hint="Leave both out for everything.", code="usage")
    part = Part.SCHEMA_ONLY if schema_only else Part.DATA_ONLY if data_only else Part.FULL
    selection = Selection(part, tuple(databases or ()), tuple(tables or ()), tuple(exclude_tables or ()))
    _back_up(cluster, Job.DUMP, selection.as_json(), as_json=as_json)


def _back_up(cluster: str, job: Job, args: dict[str, Any], *, as_json: bool) -> None:
    import time

    from bot.commands.following import carry_through
    from bot.commands.surroundings import surroundings
    from bot.host.locks import is_locked
    from bot.model.runs import Job
    from jobs.wal.spool import spool_of

    here, started = surroundings(), time.monotonic()
    name, _ = here.cluster(cluster, "backup")
    result = carry_through(here, job, name, args, quiet=as_json)

    def lines() -> None:
        _say_backup(result, time.monotonic() - started)
        if job is Job.BASE_BACKUP and not is_locked(spool_of(here.config.spool, name).lock_path):
            remark(f"Note: no receiver runs, so what is committed after this is not kept; `pitstop wal stream {name}`.")

        for warning in result.get("warnings", []):
            remark(f"Note: {warning}")
        left = {*result["repositories"], *result.get("not_in", [])}  # what was to get it at once has its warning
        if behind := [one for one in here.config.cluster_repositories(name) if one not in left]:
            remark(f"Note: not in {', '.join(behind)} yet; a bot copies it there by itself, or `pitstop sync {name}`.")

    show(result, lines, as_json=as_json)


def _say_backup(result: dict[str, Any], seconds: float) -> None:
    from bot.slack.text import count, size, span

    read, stored = int(result.get("bytes_read", 0)), int(result.get("bytes_stored", 0))
    took = span(float(result.get("seconds", seconds)))
    say(f"{result.get('id')}: {size(read)} read, {size(stored)} stored, in {took}.")
    for database in result.get("databases", []):
        say(f"  {database['name']}: {count(database['tables'], 'table')}, {count(database['rows'], 'row')}")


def list_backups(cluster: Cluster, as_json: AsJson = False) -> None:
    """List the backups of CLUSTER and how far back it can go. Its repositories are asked, not the ledger."""
    from bot.commands.surroundings import surroundings
    from jobs.catalogue import renew_reachable
    from jobs.old_backups.files import old_backups_of
    from jobs.plan.window import measured_window

    here = surroundings()
    name, _ = here.cluster(cluster, "list")
    renewed = renew_reachable(here.config, here.ledger, name)
    found, away = renewed.listed, renewed.away
    window = [part.as_json() for part in measured_window(here.config, here.ledger, name, renewed.histories)]
    document = {
        "cluster": name,
        "backups": [
            {**one.backup.as_json(), "repositories": list(one.copies), "copies": copy_rows(one.copies)} for one in found
        ],
        "away": {repository: error.message for repository, error in away.items()},
        "recovery_window": window,
        "old_backups": [old.as_json() for old in old_backups_of(here.config, here.ledger, name)],
    }
    show(document, lambda: _say_all(document, found, window), as_json=as_json)


def _say_all(document: dict[str, Any], found: list[Listed], window: list[dict[str, str]]) -> None:
    from bot.slack.text import size

    _say_list(found, window)
    for repository, why in document["away"].items():
        remark(f"Note: {repository} could not be asked, and is shown as it was: {why}")
    if old := document["old_backups"]:
        say("")
        rows = [(one["file"], size(one["bytes"]), _became(one)) for one in old]
        table(("old backup", "bytes", ""), rows, empty="")


def _became(old: dict[str, Any]) -> str:
    """Return what the last column says of an old backup."""
    return f"{old['imported'] or 'not imported'}{', verified' if old['verified_at'] else ''}"


def _remarks(backup: BackupSummary) -> str:
    """Return what the last column says of a backup."""
    sound = "verified" if backup.verified_at else ""
    remarks = [
        f"damaged: {backup.damaged}" if backup.damaged else sound,
        "pinned" if backup.pinned else "",
        backup.partial,
    ]
    return ", ".join(remark for remark in remarks if remark)


def copy_rows(copies: Mapping[str, BackupSummary]) -> list[dict[str, Any]]:
    """Return where a backup is, and what is known of each copy, as JSON."""
    return [
        {
            "repository": name,
            "verified_at": copy.verified_at.isoformat() if copy.verified_at else None,
            "damaged": copy.damaged,
            "pinned": copy.pinned,
        }
        for name, copy in copies.items()
    ]


def _say_list(found: list[Listed], window: list[dict[str, str]]) -> None:
    from datetime import datetime

    from bot.model.copies import where
    from bot.slack.text import size, span

    rows = [
        (
            one.backup.id,
            when(one.backup.started_at),
            span((one.backup.finished_at - one.backup.started_at).total_seconds()),
            size(one.backup.bytes_stored),
            ", ".join(where(one.copies)),
            _remarks(one.backup),
        )
        for one in found
    ]
    head = ("backup", "started", "took", "stored", "repositories", "")
    table(head, rows, empty="No backups yet. `pitstop backup base CLUSTER` makes one.")
    for part in window:
        say(
            f"Recoverable from {when(datetime.fromisoformat(part['from']))} to {when(datetime.fromisoformat(part['to']))}"
        )
    if not window:
        say("Nothing can be recovered to a point in time yet: that needs a base backup and the WAL after it.")
