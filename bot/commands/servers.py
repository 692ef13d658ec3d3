"""`pitstop server`: servers started beside, their lifetime and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.ledger import Ledger
    from bot.model.callers import Caller
    from bot.model.ids import RequestId
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

    _end(desk.stop_server, server_id, "stop-server", f"Server {server_id} is stopped; its data is kept.", as_json)


def remove(server_id: Id, as_json: AsJson = False) -> None:
    """Stop a server and delete its data."""
    from bot import desk

    _end(desk.remove_server, server_id, "remove-server", f"Server {server_id} and its data are gone.", as_json)


def _end(
    verb: Callable[[Ledger, Caller, RequestId], Run], server_id: str, attempt: str, sentence: str, as_json: bool
) -> None:
    from bot.commands.asking import about
    from bot.commands.following import finish
    from bot.commands.surroundings import surroundings
    from bot.ledger import servers

    here = surroundings()
    server, caller = about(here, servers.get, server_id, attempt)
    result = finish(here, verb(here.ledger, caller, server.id).id, quiet=as_json)
    show(result, lambda: say(sentence), as_json=as_json)


def extend(
    server_id: Id,
    by: Annotated[str, typer.Option("--by", help="How much longer, like 12h or 2d.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Let a server live longer."""
    from bot import desk
    from bot.commands.asking import about, duration
    from bot.commands.rows import server_row
    from bot.commands.surroundings import surroundings
    from bot.ledger import servers

    here, extension = surroundings(), duration(by, "--by 12h")
    found, caller = about(here, servers.get, server_id, "extend-server")
    server = desk.extend_server(here.ledger, caller, found.id, extension=extension)
    show(server_row(server), lambda: say(f"Server {server.id} lives until {when(server.expires_at)}."), as_json=as_json)
