"""`pitstop alert`: what needs somebody, and who has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show, table, when

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.ledger import Ledger
    from bot.model.alerts import Alert
    from bot.model.callers import Caller
    from bot.model.ids import AlertId

Id = Annotated[str, typer.Argument(metavar="ID", help="The alert's id.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Conditions that need somebody.", rich_markup_mode=None)
    group.command("list")(list_alerts)
    group.command("ack")(acknowledge)
    group.command("snooze")(snooze)
    group.command("resolve")(resolve)
    app.add_typer(group, name="alert")


def list_alerts(
    all_: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False, as_json: AsJson = False
) -> None:
    """List alerts, the most severe first."""
    from bot.commands.surroundings import surroundings
    from bot.ledger import alerts
    from bot.model.alerts import AlertState

    with surroundings().ledger.read() as tx:
        found = [alert for alert in alerts.list(tx) if all_ or alert.state is not AlertState.RESOLVED]
    rows = [
        (a.id, a.concern.severity.value, a.state.value, a.concern.cluster, when(a.opened_at), _told(a)) for a in found
    ]
    head = ("alert", "severity", "state", "cluster", "since", "what")
    document = {"alerts": [alert_row(alert) for alert in found]}
    show(document, lambda: table(head, rows, empty="Nothing needs anybody."), as_json=as_json)


def acknowledge(alert_id: Id, as_json: AsJson = False) -> None:
    """Say that you have it.

    Nobody is called again unless it gets worse. A known WAL gap then counts as a hole.
    """
    from bot import desk

    _decide(alert_id, "acknowledge-alert", desk.acknowledge_alert, as_json=as_json)


def snooze(
    alert_id: Id,
    span: Annotated[str, typer.Option("--for", help="For how long, like 1h or 2d; a week at most.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Let it rest for a while.

    It opens again when the time is up and it still holds, or when it gets worse.
    """
    from functools import partial

    from bot import desk
    from bot.commands.asking import duration

    length = duration(span, "--for 1h")
    _decide(alert_id, "snooze-alert", partial(desk.snooze_alert, span=length), as_json=as_json)


def resolve(alert_id: Id, as_json: AsJson = False) -> None:
    """Say that it is settled.

    A condition that still holds opens again at the next look; an event of the past does not.
    """
    from bot import desk

    _decide(alert_id, "resolve-alert", desk.resolve_alert, as_json=as_json)


def _decide(alert_id: str, attempt: str, verb: Callable[[Ledger, Caller, AlertId], Alert], *, as_json: bool) -> None:
    """Call one verb of the desk; an alert of the host is judged by the policies of all clusters."""
    from bot.commands.asking import caller_of, looked_up
    from bot.commands.surroundings import surroundings
    from bot.ledger import alerts

    here = surroundings()
    found = looked_up(here, alerts.get, alert_id, attempt)
    caller = caller_of(here, here.config.alert_policy(found.concern.cluster), attempt)
    alert = verb(here.ledger, caller, found.id)
    until = f" until {when(alert.snoozed_until)}" if alert.snoozed_until else ""
    show(alert_row(alert), lambda: say(f"Alert {alert.id} is {alert.state.value}{until}."), as_json=as_json)


def alert_row(alert: Alert) -> dict[str, Any]:
    """Return an alert as JSON. Pure."""
    concern = alert.concern
    return {
        "id": alert.id,
        "condition": concern.condition,
        "cluster": concern.cluster or None,
        "subject": concern.subject,
        "severity": concern.severity.value,
        "state": alert.state.value,
        "sentence": concern.sentence,
        "fix": concern.fix,
        "opened_at": alert.opened_at.isoformat(),
        "changed_at": alert.changed_at.isoformat(),
        "episode": alert.episode,
        "by": alert.by or None,
        "snoozed_until": alert.snoozed_until.isoformat() if alert.snoozed_until else None,
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
    }


def _told(alert: Alert) -> str:
    who = f" ({alert.by})" if alert.by else ""
    return f"{alert.concern.sentence}{who}"
