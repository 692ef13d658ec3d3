"""The card of an alert, and the call in its thread that reaches people when it opens again or gets worse."""

from __future__ import annotations

from bot.model.alerts import Alert, AlertState, Severity
from bot.slack.blocks import Button, Card, Message
from bot.slack.cards import actions
from bot.slack.cards.help import escape_hint
from bot.slack.hints import in_slack
from bot.slack.text import escape, mention_approver, moment, span

_MARKS = {Severity.PAGE: "🚨", Severity.WARN: "⚠️", Severity.INFO: "ℹ️"}


def alert_card(alert: Alert, *, oncall: str = "") -> Message:
    """Render an alert: what is wrong, what to do next, who has it, or when it was over and how long it lasted. Pure.

    `oncall` is the id of the group or user that an open page mentions.
    """
    concern, state = alert.concern, alert.state
    card = Card(_title(alert), key=f"alert.{alert.id}.{alert.version}")
    if state is AlertState.OPEN:
        card.lines(_mention(alert, oncall))
    card.lines(escape_hint(concern.sentence))
    if state is AlertState.RESOLVED:
        card.lines(_ending(alert))
    elif concern.fix:
        card.lines(f"→ {escape_hint(in_slack(concern.fix))}")
    if state is AlertState.ACKNOWLEDGED:
        known = " It counts as a hole in what can be recovered." if concern.condition == "wal-gap" else ""
        card.lines(f"*{escape(alert.by, 80)}* has it, since {moment(alert.changed_at)}.{known}")
    if state is AlertState.SNOOZED and alert.snoozed_until:
        card.lines(f"*{escape(alert.by, 80)}* lets it rest until {moment(alert.snoozed_until)}.")
    again = f" · for the {_nth(alert.episode)} time" if alert.episode > 1 else ""
    card.note(f"Alert `{alert.id}` · {concern.severity.value} · since {moment(alert.opened_at)}{again}")
    return card.buttons(*_buttons(alert)).message()


def call_card(alert: Alert, number: str, *, oncall: str = "") -> Message:
    """Render the call in an alert's thread; it has no buttons, they are on the card. Pure.

    `number` is `<episode>:<call>`; what was called before the newest call is answered.
    """
    if alert.state is not AlertState.OPEN or number != f"{alert.episode}:{alert.calls}":
        card = Card(f"{alert.title}: this call is answered", key=f"call.{alert.id}.{number}")
        return card.lines("Nothing is left to do here; how it stands is on the card above.").message()
    card = Card(_title(alert), key=f"call.{alert.id}.{number}.{alert.version}")
    return card.lines(_mention(alert, oncall), escape_hint(alert.concern.sentence), "Its card is above.").message()


def _title(alert: Alert) -> str:
    where = f" · {alert.concern.cluster}" if alert.concern.cluster else ""
    mark = {AlertState.OPEN: _MARKS[alert.concern.severity], AlertState.RESOLVED: "✅"}.get(alert.state)
    word = {AlertState.ACKNOWLEDGED: "👀", AlertState.SNOOZED: "💤"}.get(alert.state, "")
    over = ": over" if alert.state is AlertState.RESOLVED else ""
    return f"{mark or word} {alert.title}{where}{over}"


def _mention(alert: Alert, oncall: str) -> str:
    found = mention_approver(oncall) if oncall and alert.concern.severity is Severity.PAGE else None
    return f"{found}: this needs you now." if found else ""


def _ending(alert: Alert) -> str:
    if alert.resolved_at is None:
        return ""
    lasted = span((alert.resolved_at - alert.opened_at).total_seconds())
    who = f" *{escape(alert.by, 80)}* says it is settled." if alert.by else ""
    return f"Over at {moment(alert.resolved_at)}, after {lasted}.{who}"


def _buttons(alert: Alert) -> list[Button]:
    if alert.state is AlertState.RESOLVED:
        return []
    ack = [actions.acknowledge_alert(alert.id)] if alert.state is not AlertState.ACKNOWLEDGED else []
    resolve = [actions.resolve_alert(alert.id)] if alert.concern.occurrence else []
    return [*ack, *actions.snooze_alert(alert.id), *resolve]


def _nth(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
