"""Jobs on servers beside: stop one, remove one, and lead 127.0.0.1:port to one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot import desk
from bot.errors import Unavailable
from bot.ledger import requests, servers
from bot.model.ids import RequestId
from bot.model.servers import Server
from bot.postgres.forward import forward as carry
from bot.postgres.isolated import IsolatedServer, remove_directory
from bot.postgres.isolated_folder import ServerFolder, drop_half_written
from jobs.context import JobContext


def stop(context: JobContext) -> dict[str, Any]:
    """Shut the server of `args["server"]` down; its files stay. Idempotent: one that is down, or gone, is stopped.

    Answers {"server", "directory", "state"}.
    """
    row = _row(context)
    context.phase("stop")
    if Path(row.directory).exists():
        IsolatedServer.attach({"directory": row.directory}).stop()
    desk.server_stopped(context.ledger, row.id, context.now())
    return {"server": row.id, "directory": row.directory, "state": "stopped"}


def remove(context: JobContext) -> dict[str, Any]:
    """Stop the server of `args["server"]` and delete what Pitstop made. Idempotent: finishes what a crash left.

    Also for a request whose executor was lost before it registered a server: then only a directory that its marker says was
    claimed for this very request is removed. Answers {"server", "directory", "state", "kept"}; `kept` names files of others
    in the folder, which stay.
    """
    server_id = RequestId(str(context.run.args["server"]))
    with context.ledger.read() as tx:
        row = servers.find(tx, server_id)
        plan = requests.get(tx, server_id).plan
    assert plan is not None, "a server is of a request that was planned"
    directory = Path(plan.steps.beside.directory)
    context.phase("remove")
    kept = remove_directory(directory) if row or _claimed_for(directory, server_id) else []
    if kept:
        context.note(f"{directory} stays: it holds {', '.join(kept[:5])}, which Pitstop did not make.")
    if row is not None:
        desk.server_removed(context.ledger, server_id, context.now())
    return {"server": server_id, "directory": str(directory), "state": "removed", "kept": kept}


def forward(context: JobContext) -> dict[str, Any]:
    """Lead 127.0.0.1:`args["port"]` to the server of `args["server"]`; ends with that server, or when asked to.

    Answers {"server", "port", "connections"}.

    Raises:
        Unavailable: the server does not run.
        Usage: the port is taken.
    """
    row = _row(context)
    server = IsolatedServer.attach({"directory": row.directory})
    if not server.running:
        raise Unavailable(f"The server in {row.directory} does not run.", hint="Ask for it again?", code="server-down")
    port = int(context.run.args["port"])
    context.phase("forward")
    context.note(f"127.0.0.1:{port} leads to the server in {row.directory}.")
    connections = carry(
        port,
        server.socket_dir / ".s.PGSQL.5432",
        users=server.spec.people,
        until=lambda: context.cancelled() or not server.running,
    )
    return {"server": row.id, "port": port, "connections": connections}


def _claimed_for(directory: Path, request: RequestId) -> bool:
    folder = ServerFolder(directory)
    if not folder.is_ours():
        drop_half_written(directory)
        return False
    return folder.state().get("request") == request


def _row(context: JobContext) -> Server:
    server_id = RequestId(str(context.run.args["server"]))
    with context.ledger.read() as tx:
        return servers.get(tx, server_id)
