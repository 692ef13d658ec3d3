"""Requests that wait for a process: approved ones get an executor, interrupted ones are taken up again or given up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

import structlog

from bot import desk
from bot.errors import Conflict, Failed
from bot.ledger import requests, runs
from bot.model.ids import RequestId
from bot.model.requests import Request, State
from bot.model.runs import Job, RunState
from bot.process.place import Place

ATTEMPTS = 3
TRY_AGAIN = timedelta(seconds=10)
Refresh = Callable[[Request], None]
"""Brings the ledger's facts about the people and groups a request stands on up to date, just before it is claimed."""

log = structlog.get_logger("pitstop.supervisor")


def execute_approved(place: Place, refresh: Refresh, only: RequestId | None = None) -> None:
    """Queue an executor for every approved request that has none, with fresh facts about its people.

    One that could not be claimed (its locks are held by another run, Slack was away) stays approved, and is tried again,
    every ten seconds, until it expires.
    """
    for request in _in_state(place, State.APPROVED, only):
        if not _may_try(place, request):
            continue
        refresh(request)
        with contextlib.suppress(Conflict):
            by = request.requester.key
            run = place.queue(Job.EXECUTE, request.cluster, by=by, request=request.id)
            log.info("execution queued", request=request.id, run=run.id)


def resume_interrupted(place: Place, refresh: Refresh, only: RequestId | None = None) -> None:
    """Take up what a crash interrupted, from its beginning; after three interruptions clear it away and declare it failed."""
    for request in _in_state(place, State.INTERRUPTED, only):
        with contextlib.suppress(Conflict):
            if _interruptions(place, request.id) >= ATTEMPTS:
                if request.resume_state is not State.PLANNING:
                    desk.clear_away(place.ledger, request.id, place.now(), place.entropy(8))
                desk.fail(place.ledger, request.id, _gave_up().as_json(), place.now())
            else:
                refresh(request)
                run = desk.resume(place.ledger, request.id, at=place.now(), entropy=place.entropy(8))
                log.info("resumed", request=request.id, run=run.id)


def _gave_up() -> Failed:
    return Failed(
        f"It was interrupted {ATTEMPTS} times: its process ended without a word each time.",
        hint="Was it killed for want of memory (`dmesg`), or the machine restarted? Ask again when that is settled.",
        code="interrupted",
    )


def _in_state(place: Place, state: State, only: RequestId | None) -> list[Request]:
    with place.ledger.read() as tx:
        return [r for r in requests.recent(tx, states=(state,), limit=1000) if only in {None, r.id}]


def _may_try(place: Place, request: Request) -> bool:
    with place.ledger.read() as tx:
        last = runs.recent(tx, request=request.id, jobs=(Job.EXECUTE,), limit=1)
    return not last or (last[0].state.ended and place.now() - (last[0].finished_at or last[0].queued_at) >= TRY_AGAIN)


def _interruptions(place: Place, request: RequestId) -> int:
    with place.ledger.read() as tx:
        return len(runs.recent(tx, request=request, states=(RunState.INTERRUPTED,), limit=ATTEMPTS))
