"""`pitstop pitr`: bring a cluster back as it stood, beside the live one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.output import AsJson, Reason, show

if TYPE_CHECKING:
    from bot.commands.surroundings import Surroundings
    from bot.model.requests import Request

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="TARGET",
        help="A time, xid:N, point:NAME (included), before:TARGET (not included), lsn:X/X (everything before it), latest.",
        show_default=False,
    ),
]
Into = Annotated[
    Path | None,
    typer.Option("--into-directory", help="A new or empty folder (default: one below restore.directory)."),
]
Port = Annotated[
    int | None, typer.Option("--port", min=1024, max=65535, help="Also listen on 127.0.0.1:PORT, with a password.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Go on with the plan without asking, on a terminal too.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pitr")(pitr)


def pitr(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")],
    to: To = "",
    into_directory: Into = None,
    port: Port = None,
    reason: Reason = "",
    request: Annotated[str, typer.Option("--request", metavar="ID", help="Go on with this request.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Recover CLUSTER to a point in time, beside the live server.

    Nothing is overwritten: the copy is a separate, isolated server. For example:

      pitstop pitr slips --to 14:30 --dry-run

      pitstop pitr slips --to before:xid:84213 --reason "lost table"

    The plan is made and shown first. Where the policy wants approval from the command line too, the command waits for it.
    """
    from bot.commands.surroundings import surroundings

    _check_words(to=to, request=request)
    here = surroundings()
    from bot.commands.asking import understood
    from bot.commands.plans import say_outcome
    from bot.commands.requested import carry_out, existing, planned, show_plan

    given = existing(here, cluster, request, "pitr") if request else None
    if given is None:
        understood(here, cluster, to)
        check_reason(reason, dry_run=dry_run, as_json=as_json)
    found = planned(here, given or _ask(here, cluster, to, into_directory, port, reason), quiet=as_json)
    if dry_run:
        show_plan(here, found, as_json=as_json)
        return
    outcome = carry_out(here, found, reason, as_json=as_json, sure=yes)
    show(outcome, lambda: say_outcome(outcome), as_json=as_json)


def _check_words(*, to: str, request: str) -> None:
    from bot.errors import Usage

    if bool(to) == bool(request):
        raise Usage(
            "Say where to go back to, or which request to go on with.",
            hint="--to 14:30, --to latest … or --request ID; one of them.",
            code="no-target",
        )


def check_reason(reason: str, *, dry_run: bool, as_json: bool) -> None:
    """Want a reason now where nobody can be asked for it later.

    Raises:
        Usage: there is none.
    """
    from bot.commands.asking import can_ask_reason
    from bot.errors import Usage

    if not (reason or dry_run) and (as_json or not can_ask_reason()):
        raise Usage("A reason is needed.", hint="Add --reason 'why this is done', or --dry-run.", code="no-reason")


def _ask(here: Surroundings, cluster: str, to: str, directory: Path | None, port: int | None, reason: str) -> Request:
    from bot.commands.asking import ask

    return ask(here, cluster, to, directory=directory, port=port, reason=reason)
