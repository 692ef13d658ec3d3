"""`pitstop mark`: a restore point, before a migration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.output import AsJson, remark, say, show, when

if TYPE_CHECKING:
    from bot.ledger import Tx


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
        again = known_mark(tx, found, name)
        audit.append(tx, here.now(), here.me.key, "mark", found, {"name": name, "lsn": str(lsn)})
    warnings = [f"The name was marked before, {again}: point:NAME means the last of that name."] if again else []
    document = {"cluster": found, "name": name, "lsn": str(lsn), "warnings": warnings}

    def lines() -> None:
        say(f"Restore point “{name}” of {found} is in the WAL; its record ends at {lsn}.")
        for warning in warnings:
            remark(f"Note: {warning}")

    show(document, lines, as_json=as_json)


def known_mark(tx: Tx, cluster: str, name: str) -> str:
    """Return when and where the newest restore point of that name was marked from here, or nothing."""
    from datetime import datetime

    from bot.ledger import audit

    found = ""
    for entry in audit.entries(tx, subject=cluster):
        detail = json.loads(entry.detail) if entry.action == "mark" else {}
        if detail.get("name") == name:
            found = f"{when(datetime.fromisoformat(entry.at))}, at {detail.get('lsn')}"
    return found
