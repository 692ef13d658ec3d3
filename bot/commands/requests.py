"""`pitstop request`: the same desk as Slack's, for the night Slack is down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.output import AsJson, Reason, say, show, table, when
from bot.commands.pitr import Into, Port, To

if TYPE_CHECKING:
    from bot.model.requests import Request

Id = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Requests: ask, look, approve, deny, cancel.", rich_markup_mode=None)
    group.command("new")(new)
    group.command("list")(list_requests)
    group.command("show")(show_request)
    group.command("confirm")(confirm)
    group.command("approve")(approve)
    group.command("deny")(deny)
    group.command("cancel")(cancel)
    group.command("stop")(stop)
    app.add_typer(group, name="request")


def new(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")],
    to: To,
    into_directory: Into = None,
    port: Port = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Ask for a recovery, and wait for its plan. `confirm` sends it, `pitr --request` carries it out."""
    from bot.commands.asking import ask
    from bot.commands.following import follow, raise_unless
    from bot.commands.plans import say_plan
    from bot.commands.rows import request_row
    from bot.commands.surroundings import surroundings
    from bot.model.requests import State

    here = surroundings()
    asked = ask(here, cluster, to, directory=into_directory, port=port, reason=reason)
    request = follow(here, asked.id, (State.PROPOSED,), quiet=as_json)
    raise_unless(request, State.PROPOSED)
    show(request_row(request), lambda: say_plan(request), as_json=as_json)


def list_requests(
    all_: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False, as_json: AsJson = False
) -> None:
    """List requests that wait or run, newest first."""
    from bot.commands.rows import request_row
    from bot.commands.surroundings import surroundings
    from bot.ledger import requests

    with surroundings().ledger.read() as tx:
        found = [r for r in requests.recent(tx, limit=200) if all_ or not r.state.ended]
    rows = [(r.id, r.cluster, r.state.value, r.target_text, r.requester_name, when(r.created_at)) for r in found]
    head = ("request", "cluster", "state", "target", "asked by", "asked")
    document = {"requests": [request_row(r) for r in found]}
    show(
        document, lambda: table(head, rows, empty="No requests wait. `--all` shows those of the past."), as_json=as_json
    )


def show_request(request_id: Id, as_json: AsJson = False) -> None:
    """Show a request: its plan, decisions and outcome."""
    from bot.commands.asking import find
    from bot.commands.rows import request_row
    from bot.commands.surroundings import surroundings

    request = find(surroundings(), request_id)
    show(request_row(request), lambda: _say_request(request), as_json=as_json)


def _say_request(request: Request) -> None:
    from bot.commands.plans import say_outcome, say_plan
    from bot.model.requests import State

    say(f"{request.id}  {request.state.value}  {request.cluster}  {request.target_text}")
    say(f"  asked by     {request.requester_name}, {when(request.created_at)}: {request.reason or 'no reason yet'}")
    for decision in request.decisions:
        word = "approved" if decision.verdict == "approve" else "denied"
        say(f"  {word:<12} {decision.by.user}, {when(decision.at)} {decision.reason}")
    if request.plan:
        say_plan(request)
    if request.outcome and request.state is State.SUCCEEDED:
        say_outcome(request.outcome)
    elif request.outcome:
        say(f"  {request.outcome.get('message', '')}")
        say(f"  {request.outcome.get('hint', '')}")


def confirm(request_id: Id, reason: Reason = "", as_json: AsJson = False) -> None:
    """Send your proposed plan, with a reason."""
    from bot.commands import asking
    from bot.commands.surroundings import surroundings

    here = surroundings()
    _show_state(asking.confirm(here, asking.find(here, request_id), reason), as_json=as_json)


def approve(
    request_id: Id,
    type_cluster: Annotated[
        str,
        typer.Option("--type-cluster", metavar="NAME", help="The cluster's name: in place, it has to be typed out."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Approve somebody else's request. `[people]` must name your login, and the policy the person behind it."""
    from bot.commands import asking
    from bot.commands.surroundings import surroundings
    from bot.model.ids import RequestId

    _show_state(asking.approve(surroundings(), RequestId(request_id), type_cluster), as_json=as_json)


def deny(request_id: Id, reason: Reason = "", as_json: AsJson = False) -> None:
    """Deny a request, with a reason."""
    from bot.commands import asking
    from bot.commands.surroundings import surroundings
    from bot.model.ids import RequestId

    _show_state(asking.deny(surroundings(), RequestId(request_id), reason), as_json=as_json)


def cancel(request_id: Id, reason: Reason = "", as_json: AsJson = False) -> None:
    """Cancel a request that has not ended."""
    from bot.commands import asking
    from bot.commands.surroundings import surroundings
    from bot.model.ids import RequestId

    _show_state(asking.cancel(surroundings(), RequestId(request_id), reason), as_json=as_json)


def stop(request_id: Id, reason: Reason = "", as_json: AsJson = False) -> None:
    """Stop a request that is being carried out. Waits until its process has ended."""
    from bot.commands import asking
    from bot.commands.surroundings import surroundings
    from bot.model.ids import RequestId
    from bot.process.errand import Errand

    here = surroundings()
    request = asking.cancel(here, RequestId(request_id), reason)
    if request.run:
        Errand(here.place).run(request.run, lambda _run: None)
    _show_state(asking.find(here, request_id), as_json=as_json)


def _show_state(request: Request, *, as_json: bool) -> None:
    from bot.commands.rows import request_row

    show(request_row(request), lambda: say(f"Request {request.id} is {request.state.value}."), as_json=as_json)
