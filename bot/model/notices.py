"""What the fallback tells: pages always, other alerts by severity, everything while Slack is away, each once. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.model.alerts import Alert, AlertState, Severity
from bot.model.requests import Request, State


@dataclass(frozen=True, slots=True)
class Notice:
    """One message for the fallback. `key` is what makes it the same: it is sent once."""

    key: str
    severity: Severity
    title: str
    body: str


def of_alerts(alerts: Iterable[Alert], *, least: Severity, slack_away: bool, told: Collection[str]) -> list[Notice]:
    """Return what is to be told of alerts: each once per severity and episode, and its end to whoever heard of it.

    `told` are the keys of notices sent before. Acknowledged and snoozed alerts are somebody's already.
    """
    found = []
    for alert in alerts:
        severity = alert.concern.severity
        loud = slack_away or severity is Severity.PAGE or severity.rank >= least.rank
        # What was told as a page is not told again when it becomes a warning.
        heard = any(_key(alert, s.value) in told for s in Severity if s.rank >= severity.rank)
        if alert.state is AlertState.OPEN and loud and not heard:
            found.append(_notice(alert, severity.value, "", alert.concern.fix))
        ended = alert.state is AlertState.RESOLVED and any(_key(alert, s.value) in told for s in Severity)
        if ended and _key(alert, "resolved") not in told:
            found.append(_notice(alert, "resolved", "over: ", ""))
    return found


def of_requests(
    requests: Iterable[Request],
    *,
    wake_after: Callable[[Request], timedelta],
    slack_away: bool,
    told: Collection[str],
    now: datetime,
) -> list[Notice]:
    """Return the calls for decisions nobody made: after the direct messages had as long again, or at once with Slack away."""
    found = []
    for request in requests:
        key = f"wake:{request.id}"
        if request.state is not State.PENDING or request.woken_at is None or key in told:
            continue
        if not slack_away and now - request.woken_at < wake_after(request):
            continue
        until = f" It lapses at {request.expires_at:%H:%M} UTC." if request.expires_at else ""
        body = (
            f"{request.requester_name} asks: {request.reason}\nTarget: {request.target_text}\n"
            f"Approvers were asked in Slack and nobody has decided.{until}\n"
            f"On the host: pitstop request show {request.id}"
        )
        found.append(Notice(key, Severity.PAGE, f"A restore of {request.cluster} waits for a decision", body))
    return found


def _notice(alert: Alert, word: str, prefix: str, fix: str) -> Notice:
    where = f" ({alert.concern.cluster})" if alert.concern.cluster else ""
    body = "\n".join(line for line in (alert.concern.sentence, fix, f"Alert {alert.id}") if line)
    severity = Severity.INFO if word == "resolved" else alert.concern.severity
    return Notice(_key(alert, word), severity, f"[{word}] {prefix}{alert.title}{where}", body)


def _key(alert: Alert, word: str) -> str:
    return f"alert:{alert.id}:{alert.episode}:{word}"
