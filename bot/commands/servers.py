"""`pitstop server`: servers started beside, their lifetime and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from bot.commands.surroundings import Surroundings
    from bot.model.runs import Run

Id = Annotated[str, typer.Argument(metavar="ID", help="The server's id, which is its request's.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Servers started beside the live ones.", rich_markup_mode=None)
    group.command("list")(list_servers)
    group.command("stop")(stop)
    group.command("remove")(remove)
    group.command("extend")(extend)
    app.add_typer(group, name="server")


def list_servers(
    all_: Annotated[bool, typer.Option("--all", help="Also those removed.")] = False, as_json: AsJson = False
) -> None:
    """List servers that take up disk, newest first."""
    from bot.commands.rows import server_row
    from bot.commands.surroundings import surroundings
    from bot.ledger import servers
    from bot.model.servers import ServerState
    from bot.slack.text import size

    with surroundings().ledger.read() as tx:
        found = servers.list(tx, removed=all_)
    head = ("server", "cluster", "state", "disk", "until", "directory", "dsn")
    rows = [
        (
            s.id,
            s.cluster,
            s.state.value,
            "-" if s.state is ServerState.REMOVED else size(s.size_bytes),
            when(s.expires_at) if s.state is ServerState.RUNNING else "-",
            "-" if s.state is ServerState.REMOVED else s.directory,
            s.dsn if s.state is ServerState.RUNNING else "-",
        )
        for s in found
    ]
    document = {"servers": [server_row(s) for s in found]}
    show(document, lambda: table(head, rows, empty="No servers stand beside."), as_json=as_json)


def stop(server_id: Id, as_json: AsJson = False) -> None:
    """Stop a server; its data stays until removed."""
    from bot import desk
    from bot.commands.surroundings import surroundings

    here = surroundings()
    run = desk.stop_server(here.ledger, entropy=here.entropy(), **_decider(here, server_id, "stop-server"))
    _finish(here, run, f"Server {server_id} is stopped; its data is kept.", as_json=as_json)


def remove(server_id: Id, as_json: AsJson = False) -> None:
    """Stop a server and delete its data."""
    from bot import desk
    from bot.commands.surroundings import surroundings

    here = surroundings()
    run = desk.remove_server(here.ledger, entropy=here.entropy(), **_decider(here, server_id, "remove-server"))
    _finish(here, run, f"Server {server_id} and its data are gone.", as_json=as_json)


def extend(
    server_id: Id,
    by: Annotated[str, typer.Option("--by", help="How much longer, like 12h or 2d.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Let a server live longer."""
    from datetime import timedelta

    from bot import desk
    from bot.commands.rows import server_row
    from bot.commands.surroundings import surroundings
    from bot.config import parse_duration
    from bot.errors import Usage

    here = surroundings()
    try:
        extension = parse_duration(by)
        assert isinstance(extension, timedelta)
    except ValueError as error:
        raise Usage(f"{by!r} is no duration: {error}.", hint="--by 12h", code="bad-duration") from None
    server = desk.extend_server(here.ledger, extension=extension, **_decider(here, server_id, "extend-server"))
    show(server_row(server), lambda: say(f"Server {server.id} lives until {when(server.expires_at)}."), as_json=as_json)


def _decider(here: Surroundings, server_id: str, verb: str) -> dict[str, Any]:
    from bot.commands.asking import decider
    from bot.ledger import servers
    from bot.model.ids import RequestId

    with here.attempt(verb, server_id), here.ledger.read() as tx:
        server = servers.get(tx, RequestId(server_id))
    return {"server_id": server.id, **decider(here, server.cluster, verb)}


def _finish(here: Surroundings, run: Run, sentence: str, *, as_json: bool) -> None:
    from bot.commands.following import finish

    result = {**finish(here, run.id, quiet=as_json), "run": run.id}
    show(result, lambda: say(sentence), as_json=as_json)
