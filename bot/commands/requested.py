"""A request followed from the command line: planned, shown or confirmed, and carried out."""

from __future__ import annotations

from typing import Any

from bot.commands.asking import agreed, cancel, confirm, find
from bot.commands.following import follow, raise_unless
from bot.commands.output import show
from bot.commands.plans import say_plan
from bot.commands.rows import request_row
from bot.commands.surroundings import Surroundings
from bot.errors import Conflict, Usage
from bot.model.requests import Request, State

_PLANNED = (State.PROPOSED, State.PENDING, State.APPROVED, State.RUNNING, State.VERIFYING, State.SUCCEEDED)


_COMMANDS = {"pitr": "pitr {cluster}", "restore": "restore {cluster}", "undo": "kept undo"}


def existing(here: Surroundings, cluster: str, request_id: str, verb: str) -> Request:
    """Return the request to go on with.

    Raises:
        Usage: there is none of that id, or it is for another cluster or verb.
    """
    name, _ = here.cluster(cluster, verb)
    request = find(here, request_id)
    if (request.cluster, request.verb) != (name, verb):
        raise Usage(
            f"Request {request_id} is a {request.noun} of {request.cluster}, not a {verb} of {cluster}.",
            hint=f"pitstop {_COMMANDS[request.verb].format(cluster=request.cluster)} --request {request_id}",
            code="other-cluster",
        )
    return request


def planned(here: Surroundings, request: Request, *, quiet: bool) -> Request:
    """Follow a request until it has its plan.

    Raises:
        PitstopError: there is no such plan, or the request ended before.
    """
    found = follow(here, request.id, _PLANNED, quiet=quiet)
    raise_unless(found, *_PLANNED)
    return found


def show_plan(here: Surroundings, request: Request, *, as_json: bool) -> None:
    """Print the plan, and cancel a request that only waits for its requester: for a dry run."""
    if request.state is State.PROPOSED:
        cancel(here, request.id, "dry run")
    show(request_row(request)["plan"], lambda: say_plan(request), as_json=as_json)


def carry_out(here: Surroundings, request: Request, reason: str, *, as_json: bool, sure: bool = True) -> dict[str, Any]:
    """Confirm the plan, follow the request to its end, and return its outcome with its id.

    On a terminal it is asked first whether to go on with the plan just shown, unless the person is `sure`.

    Raises:
        PitstopError: as it ended, if not well.
    """
    if request.state is State.PROPOSED:
        if not as_json:
            say_plan(request)
            if not sure and not agreed("Go on with this plan?"):
                cancel(here, request.id, "the plan was not wanted")
                raise Conflict("Nothing was done: the request is cancelled.", hint="`--yes` goes on without asking.")
        request = confirm(here, request, reason)
    ended = follow(here, request.id, (State.SUCCEEDED,), quiet=as_json)
    raise_unless(ended, State.SUCCEEDED)
    return {"request": ended.id, **(ended.outcome or {})}
