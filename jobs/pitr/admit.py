"""Let people in: a login of their own with a password in a private file, and where a port was asked for, a forwarder."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any

from bot import desk
from bot.errors import Conflict, PitstopError
from bot.host.accounts import Account
from bot.ledger import runs
from bot.model.ids import RunId
from bot.model.runs import Job
from bot.model.servers import Server
from bot.postgres.access import grant_access
from bot.postgres.connect import connect, make_dsn
from bot.postgres.isolated import IsolatedServer
from bot.postgres.row_counts import databases_of
from jobs.context import Cancelled
from jobs.pitr.size import disk_used
from jobs.pitr.work import Work

_DOOR_S = 30.0
_POLL_S = 0.2


def admit(work: Work, server: IsolatedServer) -> tuple[Server, list[dict[str, Any]]]:
    """Make the login, register the server with the desk, open the port; return the server's row and what to say about the door.

    The row's `dsn` was tried. A port that did not open is said in a failed check; the socket then leads in, as without one.

    Raises:
        Cancelled: the run was asked to stop, or the request was cancelled.
        Unavailable, Failed: the server takes no connections, or refused to make the login.
    """
    work.context.phase("register")
    port = work.steps.beside.port
    dsn = grant_access(server, f"pitstop_{work.request.id}", dbname=_database(work, server), port=port)
    by_socket = make_dsn(dsn, host=str(server.socket_dir), port="5432")
    connect(by_socket).close()
    row = _register(work, server, dsn)
    if port is None:
        return row, []
    trouble = _open_door(work, dsn, port)
    if trouble is None:
        return row, []
    row = _register(work, server, by_socket)
    return row, [{"name": f"port {port}", "ok": False, "detail": trouble}]


def _database(work: Work, server: IsolatedServer) -> str:
    """Return where people probably want to look: the first configured database that is there."""
    names = [database.name for database in databases_of(server)]
    wanted = [*work.config.cluster(work.request.cluster).databases, "postgres", *names]
    return next((name for name in wanted if name in names), "postgres")


def _register(work: Work, server: IsolatedServer, dsn: str) -> Server:
    size = disk_used(server.folder.path)
    return work.say(
        lambda: desk.register_server(
            work.context.ledger,
            request_id=work.request.id,
            dsn=dsn,
            size_bytes=size,
            detail={**server.detail(), "host": socket.gethostname(), "user": Account.current().name},
            at=work.context.now(),
        )
    )


def _open_door(work: Work, dsn: str, port: int) -> str | None:
    """Queue the forwarder and wait until `dsn` works; return why it does not, or None."""
    work.context.note(f"Opening port {port}")
    run_id: RunId | None = None
    # A forwarder that an interrupted attempt queued answers as well.
    with contextlib.suppress(Conflict):
        run_id = work.say(lambda: _queue(work, port))
    deadline = time.monotonic() + _DOOR_S
    trouble = ""
    while time.monotonic() < deadline:
        try:
            connect(dsn, timeout_s=5).close()
        except PitstopError as error:
            trouble = error.message
        else:
            return None
        if run_id is not None and (ended := _ended(work, run_id)):
            return ended
        if work.context.wait_cancelled(_POLL_S):
            raise Cancelled
    return trouble


def _queue(work: Work, port: int) -> RunId:
    return desk.queue_run(
        work.context.ledger,
        job=Job.FORWARD,
        cluster=work.request.cluster,
        args={"server": work.request.id, "port": port},
        by=work.request.requester.key,
        at=work.context.now(),
        entropy=os.urandom(8),
        request=work.request.id,
    ).id


def _ended(work: Work, run_id: RunId) -> str | None:
    with work.context.ledger.read() as tx:
        run = runs.get(tx, run_id)
    if not run.state.ended:
        return None
    return str((run.error or {}).get("message", "The forwarder ended."))
