"""Servers started beside: ended with their lifetime, and shown as stopped when their process is gone."""

from __future__ import annotations

import contextlib

import structlog

from bot import desk
from bot.errors import Conflict
from bot.host.processes import ProcessIdentity, alive
from bot.ledger import runs, servers
from bot.model.runs import Job, RunState
from bot.model.servers import Server, ServerState
from bot.process.place import Place

log = structlog.get_logger("pitstop.supervisor")
_MOVING = (Job.EXECUTE, Job.SERVER_STOP, Job.SERVER_REMOVE)


def keep_servers(place: Place) -> None:
    """Queue the stop of every server whose lifetime is over, and say so of those that a reboot or a crash ended."""
    desk.sweep_servers(place.ledger, place.now(), place.entropy(8))
    with place.ledger.read() as tx:
        running = [server for server in servers.list(tx) if server.state is ServerState.RUNNING]
        gone = [server for server in running if _gone(server) and not _moving(place, server)]
    for server in gone:
        log.warning("server gone", server=server.id, directory=server.directory)
        with contextlib.suppress(Conflict):
            desk.server_stopped(place.ledger, server.id, place.now())


def _gone(server: Server) -> bool:
    process = server.detail.get("process")
    return process is not None and not alive(ProcessIdentity.from_json(process))


def _moving(place: Place, server: Server) -> bool:
    """Say whether a run is at work on the server, which then speaks for itself."""
    unfinished = (RunState.QUEUED, RunState.RUNNING)
    with place.ledger.read() as tx:
        return bool(runs.recent(tx, request=server.id, jobs=_MOVING, states=unfinished, limit=1))
