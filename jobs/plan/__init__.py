"""Planning a recovery or a restore: read what is kept, and propose what would be done, or refuse and say what can be had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot import desk
from bot.errors import PitstopError
from bot.ledger import requests
from bot.model.destinations import InPlace
from bot.model.old_backups import names_old_backup
from bot.model.plans import Plan
from bot.model.requests import Request
from bot.model.restores import Wanted
from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Plan the run's request: PLANNING → PROPOSED or REFUSED. Answers {"proposed": bool, "steps_hash" or "error"}."""
    assert context.run.request is not None
    with context.ledger.read() as tx:
        request = requests.get(tx, context.run.request)
    context.phase("Planning")
    made_at = context.now()
    try:
        plan = _plan(context, request)
    except PitstopError as error:
        context.check_cancelled()
        named = {"hint": error.hint.replace("CLUSTER", request.cluster)}
        body = {**error.as_json(), **named, "exit_code": error.exit_code}
        desk.refuse(context.ledger, request.id, body, context.now())
        return {"proposed": False, "error": body}
    context.check_cancelled()
    plan = replace(plan, facts=replace(plan.facts, made_at=made_at))
    desk.propose(context.ledger, request.id, plan, context.now())
    return {"proposed": True, "steps_hash": plan.steps_hash}


def _plan(context: JobContext, request: Request) -> Plan:
    def note(text: str) -> None:
        context.check_cancelled()
        context.note(text)

    # Who lists the window imports this package too, and needs nothing of what makes plans.
    from jobs.in_place.plan import plan_in_place, plan_undo
    from jobs.old_backups.bring import imported
    from jobs.plan.make import make_plan
    from jobs.restore.plan import plan_restore

    if isinstance(request.target, Wanted):
        if request.verb == "undo":
            return plan_undo(
                context.config, context.ledger, cluster=request.cluster, wanted=request.target, name=request.id
            )
        wanted = request.target
        if names_old_backup(wanted.backup):
            # a plan is bound to bytes by their hash: a file becomes a dump of the repository first
            wanted = replace(wanted, backup=imported(context, wanted.backup))
        return (plan_in_place if request.destination["kind"] == InPlace.kind else plan_restore)(
            context.config,
            context.ledger,
            cluster=request.cluster,
            wanted=wanted,
            destination=request.destination,
            name=request.id,
            now=context.now(),
            on_note=note,
        )
    return make_plan(
        context.config,
        context.ledger,
        cluster=request.cluster,
        target=request.target,
        target_text=request.target_text,
        destination=request.destination,
        name=request.id,
        now=context.now(),
        on_note=note,
    )
