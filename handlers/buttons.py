"""Buttons on cards: decisions are recorded as they are; what needs a reason or a target opens a form."""

from __future__ import annotations

from typing import Any

from slack_bolt import App

from bot.slack.cards import actions
from handlers.edge import edged, errand
from handlers.modals import open_approve_form, open_deny_form, open_reason_form
from handlers.payloads import Body, delivery_key, from_interaction, pressed
from handlers.recording import NotRecorded
from handlers.replies import reply_error
from handlers.restore import open_again
from handlers.wiring import Wiring


def register(app: App, wiring: Wiring) -> None:
    """Listen to every button a card can carry."""

    def on_decision(ack: Any, body: Body) -> None:
        """Record one click before the acknowledgement. Slack may deliver it twice; the second changes nothing."""
        doer = from_interaction(body)
        action, request = pressed(body)
        try:
            wiring.recorder.put(delivery_key(body), action, {**doer.as_json(), "request": request})
        except NotRecorded as error:
            ack()
            errand(wiring, doer, lambda failed=error: reply_error(wiring.client, doer, failed))  # type: ignore[misc]
        else:
            ack()

    def opens(opener: Any) -> Any:
        def on_click(ack: Any, body: Body) -> None:
            ack()
            opener(wiring, from_interaction(body), str(body.get("trigger_id")), pressed(body)[1])

        return on_click

    for action in actions.DECISIONS:
        app.action(action)(edged(wiring, on_decision))
    app.action(actions.REASON)(edged(wiring, opens(open_reason_form)))
    app.action(actions.APPROVE_TYPED)(edged(wiring, opens(open_approve_form)))
    app.action(actions.DENY)(edged(wiring, opens(open_deny_form)))
    app.action(actions.ASK_AGAIN)(edged(wiring, opens(open_again)))
