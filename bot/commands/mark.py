"""`pitstop mark`: a restore point, before a migration."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.commands.output import AsJson, say, show


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mark")(mark)


def mark(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The restore point's name, at most 63 bytes.")],
    as_json: AsJson = False,
) -> None:
    """Write a restore point to come back to with --to point:NAME.

    It is a name in the WAL of CLUSTER; write one before each migration.
    """
    from bot.commands.surroundings import surroundings
    from bot.ledger import audit
    from bot.postgres.marks import create_restore_point
    from bot.postgres.transport import require_verified

    here = surroundings()
    found, config = here.cluster(cluster, "mark")
    with here.attempt("mark", cluster):
        require_verified(config)
        lsn = create_restore_point(config.observe, name)
    with here.ledger.transaction() as tx:
        audit.append(tx, here.now(), here.me.key, "mark", found, {"name": name, "lsn": str(lsn)})
    document = {"cluster": found, "name": name, "lsn": str(lsn)}
    show(document, lambda: say(f"Restore point {name!r} of {found} is at {lsn}."), as_json=as_json)
