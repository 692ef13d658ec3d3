"""Clicks on the cards of alerts: acknowledge, snooze, say that it is settled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from bot import desk
from bot.ledger import Ledger, alerts, inbox
from bot.model.callers import Caller
from bot.model.ids import AlertId
from bot.slack.blocks import Message
from bot.slack.cards import actions
from handlers.facts import caller_of, card_shows
from handlers.payloads import Doer
from handlers.wiring import Wiring


def _alert(verb: Callable[[Ledger, Caller, AlertId], object]) -> Callable[[Wiring, inbox.Item, Doer], Message | None]:
    """Return the handler of a click on an alert's card."""

    def handle(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
        alert = AlertId(str(item.payload["request"]))
        card_shows(wiring, doer, alert, kinds=("alert",))
        with wiring.ledger.read() as tx:
            cluster = alerts.get(tx, alert).concern.cluster
        caller = caller_of(wiring, item, doer, wiring.config.alert_policy(cluster))
        verb(wiring.ledger, caller, alert)

    return handle


VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {
    actions.ACKNOWLEDGE: _alert(desk.acknowledge_alert),
    actions.SNOOZE_1H: _alert(partial(desk.snooze_alert, span=timedelta(hours=1))),
    actions.SNOOZE_24H: _alert(partial(desk.snooze_alert, span=timedelta(hours=24))),
    actions.RESOLVE: _alert(desk.resolve_alert),
}
