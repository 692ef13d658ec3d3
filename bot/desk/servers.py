"""Servers started beside: registered by the executor, extended, stopped and removed by people or by the end of their lifetime."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.desk.asking import fresh
from bot.desk.change import PITSTOP, once, permit
from bot.desk.queueing import enqueue
from bot.errors import Conflict, Usage
from bot.ledger import audit, cards, requests, runs, servers
from bot.ledger.database import Ledger, Tx
from bot.model.callers import Caller
from bot.model.destinations import Beside
from bot.model.ids import RequestId
from bot.model.policy import Action
from bot.model.runs import Job, Run, RunState
from bot.model.servers import Server, ServerState


def register_server(
    ledger: Ledger, *, request_id: RequestId, dsn: str, size_bytes: int, detail: dict[str, Any], at: datetime
) -> Server:
    """Record a started server; directory, owner and lifetime come from the request's plan.

    Idempotent: registering again, as a resumed executor does, writes the new `dsn`, size and detail.
    """
    with ledger.transaction() as tx:
        request, known = requests.get(tx, request_id), servers.find(tx, request_id)
        if request.plan is None:
            raise Conflict(f"Request {request_id} has no plan, so it has no server.", code="no-plan")
        if known is not None:
            after = replace(
                known,
                state=ServerState.RUNNING,
                version=known.version + 1,
                dsn=dsn,
                size_bytes=size_bytes,
                detail=detail,
            )
            return _change(tx, after, "start", PITSTOP, at)
        steps = request.plan.steps
        server = Server(
            id=request_id,
            cluster=request.cluster,
            state=ServerState.RUNNING,
            version=1,
            owner=request.requester,
            directory=steps.beside.directory,
            dsn=dsn,
            size_bytes=size_bytes,
            started_at=at,
            expires_at=at + timedelta(seconds=steps.recovery.lifetime_s),
            detail=detail,
        )
        servers.insert(tx, server)
        _tell(tx, server, "start", PITSTOP, at)
        cards.want(tx, "server", request_id, f"thread:request:{request_id}")
        return server


def extend_server(ledger: Ledger, caller: Caller, server_id: RequestId, *, extension: timedelta) -> Server:
    """Let a running server live `extension` longer, from its present end."""

    def body(tx: Tx) -> Server:
        server = servers.get(tx, server_id)
        permit(tx, caller, Action.SERVER, server.owner)
        _running(server)
        if not timedelta(0) < extension <= LONGEST_EXTENSION:
            raise Usage(
                "A server is extended by up to 7 days at a time.", hint="How long is it still needed?", code="extension"
            )
        until = max(server.expires_at, caller.at) + extension
        after = replace(server, version=server.version + 1, expires_at=until)
        return _change(tx, after, "extend", caller.by.key, caller.at)

    return once(ledger, caller, "server.extend", server_id, body, servers.get)


def stop_server(ledger: Ledger, caller: Caller, server_id: RequestId) -> Run:
    """Queue the run that stops a server; its data stays."""
    return _ask_run(ledger, caller, Job.SERVER_STOP, "server.stop", server_id)


def remove_server(ledger: Ledger, caller: Caller, server_id: RequestId) -> Run:
    """Queue the run that stops a server and removes its data."""
    return _ask_run(ledger, caller, Job.SERVER_REMOVE, "server.remove", server_id)


def clear_away(ledger: Ledger, request_id: RequestId, at: datetime, entropy: bytes) -> Run | None:
    """Queue the removal of what a lost executor left of this request: directory, process, server; or the unfinished database.

    None when a run is at work on it already. Called before the request is given up, so that a crash between the two repeats
    this rather than forgets it.
    """
    with ledger.transaction() as tx:
        request = requests.get(tx, request_id)
        waiting = runs.recent(tx, request=request_id, jobs=_STOPS, states=(RunState.QUEUED, RunState.RUNNING))
        if request.plan is None or waiting:
            return None
        beside = isinstance(request.plan.steps.destination, Beside)
        args = {"server" if beside else "request": request_id}
        return enqueue(
            tx,
            job=Job.SERVER_REMOVE if beside else Job.RESTORE_CLEAN,
            cluster=request.cluster,
            args=args,
            by=PITSTOP,
            at=at,
            entropy=entropy,
            request=request,
        )


def server_stopped(ledger: Ledger, server_id: RequestId, at: datetime) -> Server:
    """Say that a server no longer runs. Idempotent."""
    return _reach(ledger, server_id, ServerState.STOPPED, "stopped", at)


def server_removed(ledger: Ledger, server_id: RequestId, at: datetime) -> Server:
    """Say that a server's data is gone. Idempotent."""
    return _reach(ledger, server_id, ServerState.REMOVED, "removed", at)


def sweep_servers(ledger: Ledger, at: datetime, entropy: bytes) -> list[Run]:
    """Queue a stop for every running server whose lifetime is over; return the runs. Idempotent."""
    with ledger.read() as tx:
        due = servers.lapsed(tx, at)
    stops = [_stop_lapsed(ledger, server.id, at, fresh(entropy, server.id)) for server in due]
    return [run for run in stops if run is not None]


LONGEST_EXTENSION = timedelta(days=7)


def _ask_run(ledger: Ledger, caller: Caller, job: Job, verb: str, server_id: RequestId) -> Run:
    """Authorize and queue a run on a server; stopping one that is stopped is refused, removing it is not."""

    def body(tx: Tx) -> Run:
        server = servers.get(tx, server_id)
        permit(tx, caller, Action.SERVER, server.owner)
        if job is Job.SERVER_STOP:
            _running(server)
        elif server.state is ServerState.REMOVED:
            raise Conflict("This server was removed before.", code="server-removed")
        return _queue(tx, job, server, caller.by.key, caller.at, caller.entropy)

    return once(ledger, caller, verb, server_id, body, runs.get)


def _stop_lapsed(ledger: Ledger, server_id: RequestId, at: datetime, entropy: bytes) -> Run | None:
    with ledger.transaction() as tx:
        server = servers.get(tx, server_id)
        waiting = runs.recent(tx, request=server_id, jobs=_STOPS, states=(RunState.QUEUED, RunState.RUNNING))
        if server.state is not ServerState.RUNNING or server.expires_at > at or waiting:
            return None
        return _queue(tx, Job.SERVER_STOP, server, PITSTOP, at, entropy)


_STOPS = (Job.SERVER_STOP, Job.SERVER_REMOVE, Job.RESTORE_CLEAN)


def _queue(tx: Tx, job: Job, server: Server, by: str, at: datetime, entropy: bytes) -> Run:
    request = requests.get(tx, server.id)
    args = {"server": server.id}
    return enqueue(tx, job=job, cluster=server.cluster, args=args, by=by, at=at, entropy=entropy, request=request)


def _reach(ledger: Ledger, server_id: RequestId, state: ServerState, word: str, at: datetime) -> Server:
    with ledger.transaction() as tx:
        server = servers.get(tx, server_id)
        if server.state in {state, ServerState.REMOVED}:
            return server
        return _change(tx, replace(server, state=state, version=server.version + 1), word, PITSTOP, at)


def _running(server: Server) -> None:
    if server.state is not ServerState.RUNNING:
        raise Conflict(
            f"This server is {server.state.value}.", hint="Remove it, or ask for a new one.", code="server-not-running"
        )


def _change(tx: Tx, after: Server, verb: str, actor: str, at: datetime) -> Server:
    servers.update(tx, after)
    _tell(tx, after, verb, actor, at)
    return after


def _tell(tx: Tx, server: Server, verb: str, actor: str, at: datetime) -> None:
    detail = {
        "state": server.state.value,
        "directory": server.directory,
        "expires_at": server.expires_at.isoformat(),
        "bytes": server.size_bytes,
    }
    audit.append(tx, at, actor, f"server.{verb}", server.id, detail)
    cards.bump(tx, "server", server.id, urgent=True)
    cards.bump(tx, "request", server.id, urgent=True)
