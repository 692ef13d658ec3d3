"""`pitstop kept`: databases that a restore in place replaced, kept for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.output import AsJson, Reason, say, show, table, when

if TYPE_CHECKING:
    from bot.commands.surroundings import Surroundings
    from bot.model.requests import Request

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the request that replaced it.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Databases that a restore in place replaced.", rich_markup_mode=None)
    group.command("list")(list_kept)
    group.command("keep")(keep)
    group.command("undo")(undo)
    group.command("remove")(remove)
    app.add_typer(group, name="kept")


def list_kept(
    all_: Annotated[bool, typer.Option("--all", help="Also those in service again or removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List kept databases, newest first."""
    from bot.commands.rows import kept_row
    from bot.commands.surroundings import surroundings
    from bot.ledger import kept
    from bot.slack.text import size

    with surroundings().ledger.read() as tx:
        found = kept.list(tx, all_=all_)
    head = ("request", "cluster", "state", "was", "is", "disk", "until")
    rows = [(k.id, k.cluster, k.state.value, k.database, k.name, size(k.size_bytes), when(k.remove_at)) for k in found]
    show(
        {"kept": [kept_row(k) for k in found]}, lambda: table(head, rows, empty="No database is kept."), as_json=as_json
    )


def keep(
    request_id: Id,
    by: Annotated[str, typer.Option("--by", help="How much longer, like 2d or 12h.")] = "7d",
    as_json: AsJson = False,
) -> None:
    """Keep a database longer."""
    from bot import desk
    from bot.commands.asking import about, duration
    from bot.commands.rows import kept_row
    from bot.commands.surroundings import surroundings
    from bot.ledger import kept as rows

    here, extension = surroundings(), duration(by, "--by 7d")
    found, caller = about(here, rows.get, request_id, "extend-kept")
    kept = desk.extend_kept(here.ledger, caller, found.id, extension=extension)
    show(kept_row(kept), lambda: say(f"{kept.name} is kept until {when(kept.remove_at)}."), as_json=as_json)


def undo(
    request_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="The id of the request that replaced it.", show_default=False)
    ] = "",
    reason: Reason = "",
    request: Annotated[str, typer.Option("--request", metavar="ID", help="Go on with this request.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a kept database back, once another person agrees.

    What has its name since is kept in its turn. The command waits for the approval.
    """
    from bot.commands.asking import find
    from bot.commands.plans import say_outcome
    from bot.commands.requested import carry_out, existing, planned, show_plan
    from bot.commands.surroundings import surroundings
    from bot.errors import Usage

    here = surroundings()
    if bool(request_id) == bool(request):
        raise Usage(
            "Say what to bring back, or which request to go on with.",
            hint="`pitstop kept list` shows what is kept; or --request ID.",
            code="no-target",
        )
    given = existing(here, find(here, request).cluster, request, "undo") if request else None
    found = given or _ask_undo(here, request_id, reason)
    ready = planned(here, found, quiet=as_json)
    if dry_run:
        show_plan(here, ready, as_json=as_json)
        return
    outcome = carry_out(here, ready, reason, as_json=as_json)
    show(outcome, lambda: say_outcome(outcome), as_json=as_json)


def _ask_undo(here: Surroundings, request_id: str, reason: str) -> Request:
    from bot.commands.asking import ask_for, looked_up
    from bot.ledger import kept
    from bot.model.restores import Wanted

    row = looked_up(here, kept.get, request_id, "undo")
    text = f"{row.database} as kept by request {row.id}"
    destination = {"kind": "in-place", "database": row.database}
    return ask_for(here, row.cluster, "undo", Wanted(row.id, row.database), text, destination, reason)


def remove(request_id: Id, as_json: AsJson = False) -> None:
    """Drop a kept database; only a backup leads back to it then."""
    from bot import desk
    from bot.commands.asking import about
    from bot.commands.following import finish
    from bot.commands.surroundings import surroundings
    from bot.ledger import kept

    here = surroundings()
    found, caller = about(here, kept.get, request_id, "remove-kept")
    result = finish(here, desk.remove_kept(here.ledger, caller, found.id).id, quiet=as_json)
    show(result, lambda: say(f"{result['name']} is gone."), as_json=as_json)
