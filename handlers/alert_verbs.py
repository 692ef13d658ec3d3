"""Clicks on the cards of alerts: acknowledge, snooze, say that it is settled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bot import desk
from bot.ledger import alerts, inbox
from bot.model.ids import AlertId
from bot.slack.blocks import Message
from bot.slack.cards import actions
from handlers.facts import card_shows, told_of
from handlers.payloads import Doer
from handlers.wiring import Wiring


def _alert(verb: Callable[[dict[str, Any]], object]) -> Callable[[Wiring, inbox.Item, Doer], Message | None]:
    """Return the handler of a click on an alert's card."""

    def handle(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
        alert = AlertId(str(item.payload["request"]))
        card_shows(wiring, doer, alert, kinds=("alert",))
        with wiring.ledger.read() as tx:
            cluster = alerts.get(tx, alert).concern.cluster
        who = told_of(wiring, doer, wiring.config.alert_policy(cluster))
        verb({"ledger": wiring.ledger, "key": item.key, "alert": alert, "by": doer.who, "at": wiring.now(), **who})

    return handle


VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {
    actions.ACKNOWLEDGE: _alert(lambda who: desk.acknowledge_alert(**who)),
    actions.SNOOZE_1H: _alert(lambda who: desk.snooze_alert(span=timedelta(hours=1), **who)),
    actions.SNOOZE_24H: _alert(lambda who: desk.snooze_alert(span=timedelta(hours=24), **who)),
    actions.RESOLVE: _alert(lambda who: desk.resolve_alert(**who)),
}
