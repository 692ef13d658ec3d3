"""Follow a run or a request to its end from a terminal, and turn how it ended into an answer or an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from bot import desk
from bot.commands.output import progress, remark, when
from bot.commands.surroundings import Surroundings
from bot.errors import Conflict, Corruption, Failed, PitstopError, Refused, Unavailable, Usage
from bot.ledger import people
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.policy import Identities, approving_logins
from bot.model.requests import Request, State
from bot.model.runs import Job, Run, RunState
from bot.model.times import written
from bot.model.transitions import must_type_cluster
from bot.process.errand import Errand
from bot.process.leader import leads

_BY_EXIT_CODE: dict[int, type[PitstopError]] = {1: Failed, 2: Usage, 3: Refused, 4: Corruption}
_BY_STATE: dict[State, type[PitstopError]] = {
    State.REFUSED: Usage,
    State.DENIED: Refused,
    State.EXPIRED: Refused,
    State.VOID: Refused,
    State.CANCELLED: Conflict,
}


def carry_through(
    here: Surroundings, job: Job, cluster: ClusterName, args: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    """Queue a run as the login typing, and follow it like `finish`."""
    by, at, entropy = here.me.key, here.now(), here.entropy()
    run = desk.queue_run(here.ledger, job=job, cluster=cluster, args=args, by=by, at=at, entropy=entropy)
    return finish(here, run.id, quiet=quiet)


def finish(here: Surroundings, run_id: RunId, *, quiet: bool) -> dict[str, Any]:
    """Follow a run to its end and return its result with its id. Ctrl-C stops a run that no bot looks after.

    Raises:
        PitstopError: as the run ended, if not well.
    """
    errand, latest = Errand(here.place), list[Run]()
    with progress(quiet=quiet) as update:

        def look(run: Run) -> None:
            latest[:] = [run]
            update(run)

        try:
            run = errand.run(run_id, look)
        except KeyboardInterrupt:
            if latest and latest[0].state is RunState.RUNNING and not leads(here.place.leader_lock):
                errand.stop(latest[0])
                remark("Asked it to stop …")
                run = errand.run(run_id, look)
            else:
                remark(f"Run {run_id} goes on: `pitstop status` shows it.")
                raise
    return {**_result(run), "run": run.id}


def follow(here: Surroundings, request_id: RequestId, until: Collection[State], *, quiet: bool) -> Request:
    """Follow a request until it is in one of the states `until`, or ended; return it then."""
    shown = list[State]()

    def look(request: Request, run: Run | None) -> None:
        if not quiet and shown[-1:] != [request.state]:
            shown.append(request.state)
            if request.state is State.PENDING and State.PENDING not in until:
                remark(_waiting(here, request))
        update(run if run and not run.state.ended else None)

    with progress(quiet=quiet) as update:
        try:
            return Errand(here.place).request(request_id, until, look)
        except KeyboardInterrupt:
            remark(f"Request {request_id} goes on: `pitstop request show {request_id}`, `… cancel {request_id}`.")
            raise


def _waiting(here: Surroundings, request: Request) -> str:
    with here.ledger.read() as tx:
        identities = Identities(people.team(tx), here.config.people)
    policy = here.config.cluster(request.cluster).policy
    logins = approving_logins(policy, request.requester, identities)
    return waiting_text(request, logins, slack=here.config.slack is not None)


def waiting_text(request: Request, logins: Sequence[str], *, slack: bool) -> str:
    """Say how a request is approved, until when, and who could; `logins` are those of this host that could. Pure."""
    typed = " --type-cluster NAME" if must_type_cluster(request) else ""
    until = f" until {when(request.expires_at)}" if request.expires_at else ""
    by = f" by {' or '.join(logins)}" if logins else ""
    how = f"`pitstop request approve {request.id}{typed}`{', or the buttons in Slack' if slack else ''}"
    nobody = "Nobody could approve this: Slack is not configured, and [people] links no other login to an approver.\n"
    said = f"Waiting for approval{by}{until}: {how}. Ctrl-C ends the waiting; the request goes on."
    return said if logins or slack else nobody + said


def _result(run: Run) -> dict[str, Any]:
    if run.state is RunState.SUCCEEDED:
        return run.result or {}
    if run.state is RunState.CANCELLED:
        raise Conflict(f"Run {run.id} was stopped before its end.", hint="Start it again?", code="cancelled")
    if run.state is RunState.INTERRUPTED:
        raise Failed(
            f"The process of run {run.id} ended without a word.",
            hint="Was it killed for want of memory (`dmesg`)? Start it again.",
            code="interrupted",
        )
    raise error_from(run.error or {}, Failed)


def error_from(error: dict[str, Any], otherwise: type[PitstopError]) -> PitstopError:
    """Return the error that a ledger row keeps as JSON. Pure."""
    kind = _BY_EXIT_CODE.get(int(error.get("exit_code", 0)), otherwise)
    told = kind(
        str(error.get("message", "It failed, and did not say why.")),
        hint=_with_nearest(error),
        code=str(error.get("code", otherwise.code)),
    )
    if nearest := error.get("nearest"):
        told.more["nearest"] = nearest
    return told


def raise_unless(request: Request, *wanted: State) -> None:
    """Raise what became of a request that is in none of the states `wanted`."""
    if request.state in wanted:
        return
    kind = _BY_STATE.get(request.state, Unavailable if request.state is State.INTERRUPTED else Failed)
    outcome = request.outcome or {}
    if "message" in outcome:
        raise error_from(outcome, kind)
    raise kind(_ended(request), hint=f"`pitstop request show {request.id}` has the details.", code=request.state.value)


def _ended(request: Request) -> str:
    denied = next((d for d in request.decisions if d.verdict == "deny"), None)
    if request.state is State.DENIED and denied:
        return f"Request {request.id} was denied by {denied.by.user}: {denied.reason}"
    return f"Request {request.id} is {request.state.value}."


def _with_nearest(error: dict[str, Any]) -> str:
    hint, nearest = str(error.get("hint", "")), error.get("nearest")
    if not nearest:
        return hint
    times = " or ".join(_typeable(str(time)) for time in nearest) if isinstance(nearest, list) else str(nearest)
    return f"{hint} Nearest reachable: {times}.".strip()


def _typeable(time: str) -> str:
    """Return an ISO time as people read and type it, in UTC, exactly; other text as it is."""
    try:
        return written(datetime.fromisoformat(time), UTC)
    except ValueError:
        return time
