"""`pitstop kept`: databases that a restore in place replaced, kept for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from bot.commands.surroundings import Surroundings

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the request that replaced it.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Databases that a restore in place replaced.", rich_markup_mode=None)
    group.command("list")(list_kept)
    group.command("keep")(keep)
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
    from datetime import timedelta

    from bot import desk
    from bot.commands.rows import kept_row
    from bot.commands.surroundings import surroundings
    from bot.config import parse_duration
    from bot.errors import Usage

    here = surroundings()
    try:
        extension = parse_duration(by)
        assert isinstance(extension, timedelta)
    except ValueError as error:
        raise Usage(f"{by!r} is no duration: {error}.", hint="--by 7d", code="bad-duration") from None
    kept = desk.extend_kept(here.ledger, extension=extension, **_decider(here, request_id, "extend-kept"))
    show(kept_row(kept), lambda: say(f"{kept.name} is kept until {when(kept.remove_at)}."), as_json=as_json)


def remove(request_id: Id, as_json: AsJson = False) -> None:
    """Drop a kept database; only a backup leads back to it then."""
    from bot import desk
    from bot.commands.following import finish
    from bot.commands.surroundings import surroundings

    here = surroundings()
    run = desk.remove_kept(here.ledger, entropy=here.entropy(), **_decider(here, request_id, "remove-kept"))
    result = {**finish(here, run.id, quiet=as_json), "run": run.id}
    show(result, lambda: say(f"{result['name']} is gone."), as_json=as_json)


def _decider(here: Surroundings, request_id: str, verb: str) -> dict[str, Any]:
    from bot.commands.asking import decider
    from bot.ledger import kept
    from bot.model.ids import RequestId

    with here.attempt(verb, request_id), here.ledger.read() as tx:
        found = kept.get(tx, RequestId(request_id))
    return {"request_id": found.id, **decider(here, found.cluster, verb)}
