"""Alerts: raised and ended by what was seen, acknowledged, snoozed and resolved by people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.desk.change import PITSTOP, once, permit
from bot.ledger import alerts, audit, cards
from bot.ledger.database import Ledger, Tx
from bot.model import alerts as life
from bot.model.alerts import Alert, AlertState, Concern, Judged
from bot.model.callers import Caller
from bot.model.ids import AlertId, alert_id
from bot.model.policy import Action

_LIVING = (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.SNOOZED)


def observe(ledger: Ledger, concerns: Iterable[Concern], judged: Judged, at: datetime) -> list[Alert]:
    """Take in what one look saw: raise, change, re-open and resolve alerts; return those that changed. One transaction.

    What the look could not judge stays as it is. Snoozes whose time is up end.
    """
    with ledger.transaction() as tx:
        return observe_in(tx, concerns, judged, at)


def observe_in(tx: Tx, concerns: Iterable[Concern], judged: Judged, at: datetime) -> list[Alert]:
    """Do what `observe` does, inside somebody else's transaction."""
    seen = life.of_concerns(concerns)
    changed = [alert for concern in seen.values() if (alert := _see(tx, concern, at)) is not None]
    for alert in alerts.list(tx):
        if alert.concern.key in seen:
            continue
        after = life.over(alert, at) if judged.covers(alert.concern) else life.lapse(alert, at)
        if after is not alert:
            changed.append(_change(tx, alert, after, PITSTOP, at))
    return changed


def acknowledge_alert(ledger: Ledger, caller: Caller, alert: AlertId) -> Alert:
    """Say that somebody has it: nobody is called again unless it gets worse. A known WAL gap then counts as a hole.

    Raises:
        Refused: the caller may neither ask nor approve. Conflict: it is over. Usage: there is no such alert.
    """
    return _decide(ledger, caller, "acknowledge", alert, lambda it: life.acknowledge(it, caller.called, caller.at))


def snooze_alert(ledger: Ledger, caller: Caller, alert: AlertId, *, span: timedelta) -> Alert:
    """Let it rest for `span` (up to seven days); it opens again if it still holds then, or gets worse before.

    Raises like `acknowledge_alert`; Usage also: the span is too long.
    """
    until = caller.at + span
    return _decide(ledger, caller, "snooze", alert, lambda it: life.snooze(it, caller.called, until, caller.at))


def resolve_alert(ledger: Ledger, caller: Caller, alert: AlertId) -> Alert:
    """Say that it is settled. A condition that still holds opens again at the next look; an event of the past does not.

    Raises like `acknowledge_alert`.
    """
    return _decide(ledger, caller, "resolve", alert, lambda it: life.resolve(it, caller.called, caller.at))


def noticed(ledger: Ledger, key: str, at: datetime) -> None:
    """Note that the fallback took a notice, so that it is not sent again. Audited."""
    with ledger.transaction() as tx:
        alerts.notice(tx, key, at)
        audit.append(tx, at, PITSTOP, "notice.sent", key, {})


def sampled(ledger: Ledger, used: Mapping[str, int], at: datetime, keep: timedelta) -> None:
    """Keep how many bytes of each disk were used, for the forecast. Not audited."""
    with ledger.transaction() as tx:
        for name, value in used.items():
            alerts.sample(tx, name, at, value, since=at - keep)


def _see(tx: Tx, concern: Concern, at: datetime) -> Alert | None:
    known = alerts.find(tx, *concern.key)
    if known is not None:
        after = life.seen(known, concern, at)
        return None if after is known else _change(tx, known, after, PITSTOP, at)
    made = life.opened(alert_id(_entropy(concern)), concern, at)
    alerts.insert(tx, made)
    cards.want(tx, "alert", made.id, "alerts", urgent=True)
    _tell(tx, made, "open", PITSTOP, at)
    return made


def _entropy(concern: Concern) -> bytes:
    """Return what an alert's id is made from: it is one per condition, so the condition itself."""
    return hashlib.sha256("\0".join(concern.key).encode()).digest()[:8]


def _decide(ledger: Ledger, caller: Caller, verb: str, alert: AlertId, change: Callable[[Alert], Alert]) -> Alert:
    def body(tx: Tx) -> Alert:
        before = alerts.get(tx, alert)
        permit(tx, caller, Action.ALERT)
        after = change(before)
        return after if after is before else _change(tx, before, after, caller.by.key, caller.at, verb)

    return once(ledger, caller, f"alert.{verb}", alert, body, alerts.get)


def _change(tx: Tx, before: Alert, after: Alert, actor: str, at: datetime, verb: str = "") -> Alert:
    alerts.update(tx, after)
    reopened, called = after.episode > before.episode, after.calls > before.calls
    if verb or after.state is not before.state or called:
        _tell(tx, after, verb or ("open" if after.state is AlertState.OPEN else "resolve"), actor, at)
    cards.want(tx, "alert", after.id, "alerts", urgent=True)
    cards.bump(tx, "call", _call(before))
    if reopened or called:
        cards.want(tx, "call", _call(after), f"thread:alert:{after.id}", urgent=True)
    return after


def _call(alert: Alert) -> str:
    return f"{alert.id}:{alert.episode}:{alert.calls}"


def _tell(tx: Tx, alert: Alert, verb: str, actor: str, at: datetime) -> None:
    concern = alert.concern
    detail: dict[str, Any] = {
        "condition": concern.condition,
        "cluster": concern.cluster,
        "subject": concern.subject,
        "severity": concern.severity.value,
        "state": alert.state.value,
        "sentence": concern.sentence,
    }
    if alert.snoozed_until is not None:
        detail["until"] = alert.snoozed_until.isoformat()
    audit.append(tx, at, actor, f"alert.{verb}", alert.id, detail)
