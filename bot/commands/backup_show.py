"""`pitstop show`: one backup whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.commands.surroundings import Surroundings
    from bot.model.backups import BackupSummary
    from bot.model.contents import Contents
    from bot.model.ids import BackupId


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show_backup)


def show_backup(
    backup: Annotated[str, typer.Argument(metavar="ID", help="A backup's id; `pitstop list` shows them.")],
    as_json: AsJson = False,
) -> None:
    """Show one backup: when, how large, verified, what is in it.

    One that the ledger does not know is looked for in the repositories.
    """
    from bot.commands.backups import copy_rows
    from bot.commands.surroundings import surroundings
    from bot.ledger import catalogue, contents

    here = surroundings()
    found = located(here, backup)
    with here.ledger.read() as tx:
        copies, inside = catalogue.copies(tx, found.cluster, found.id), contents.find(tx, found.cluster, found.id)
    document: dict[str, Any] = {
        **found.as_json(),
        "repositories": list(copies),
        "copies": copy_rows(copies),
        "contents": inside.as_json() if inside else None,
    }
    show(document, lambda: _say(found, copies, inside), as_json=as_json)


def located(here: Surroundings, backup: str) -> BackupSummary:
    """Return a backup by its id, from whichever cluster it is.

    Raises:
        Usage: there is none, in the repositories either.
    """
    from bot.errors import Usage
    from bot.model.ids import BackupId, is_backup_id
    from bot.model.typed import quoted

    found = _find(here, BackupId(backup)) if is_backup_id(backup) else None
    if found is None:
        raise Usage(
            f"There is no backup {quoted(backup)}.",
            hint="`pitstop list CLUSTER` shows those there are.",
            code="unknown-backup",
        )
    return found


def _find(here: Surroundings, backup: BackupId) -> BackupSummary | None:
    from bot.ledger import catalogue
    from bot.model.ids import ClusterName
    from jobs.catalogue import renew_reachable

    with here.ledger.read() as tx:
        found = catalogue.locate(tx, backup)
    if found is not None:
        return found
    for name in here.config.clusters:
        renew_reachable(here.config, here.ledger, ClusterName(name))
    with here.ledger.read() as tx:
        return catalogue.locate(tx, backup)


def _say(backup: BackupSummary, copies: Mapping[str, BackupSummary], inside: Contents | None) -> None:
    from bot.model.copies import where
    from bot.slack.text import count, size, span

    say(f"{backup.id} of {backup.cluster}{', pinned' if backup.pinned else ''}")
    say(f"  {f'damaged: {backup.damaged}' if backup.damaged else f'verified {when(backup.verified_at)}'}")
    if backup.known_part:
        say(f"  of a part only: {backup.known_part}")
    say(f"  taken {when(backup.started_at)}, in {span(backup.seconds)}")
    say(f"  {size(backup.bytes_stored)} stored of {size(backup.bytes_read)} read, in {', '.join(where(copies))}")
    say(f"  timeline {backup.timeline}, {backup.start_lsn} to {backup.end_lsn}")
    if backup.parent:
        say(f"  after {backup.parent}")
    if inside is None:
        return
    say(f"  server {inside.server}")
    for one in inside.databases:
        say(f"  database {one.name}" + (f": {count(len(one.tables), 'table')}" if one.tables else ""))
        rows = [(f"    {t.full_name}", f"{t.rows:,}" if t.rows is not None else "-", t.note) for t in one.tables[:200]]
        if rows:
            table(("    table", "rows", ""), rows, empty="")
    for warning in inside.warnings:
        say(f"  Note: {warning}")
