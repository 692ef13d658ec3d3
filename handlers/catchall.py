"""What nobody listens to: acknowledged, so that Slack shows no error, and answered, so that nobody waits."""

from __future__ import annotations

import re
from typing import Any

from slack_bolt import App

from bot.slack.blocks import Message
from handlers.edge import edged, errand
from handlers.payloads import Body, from_command, from_interaction
from handlers.replies import reply
from handlers.wiring import Wiring

_ANY = re.compile(r".*", re.DOTALL)
_COMMAND = "Pitstop does not know this command. Try `/backup help`, `/restore help` or `/pitr help`."
_OLD_BUTTON = "This button is from another version of Pitstop and does nothing any more. Look for the current card."


def register(app: App, wiring: Wiring) -> None:
    """Listen to everything else; to be registered last."""

    def on_command(ack: Any, body: Body) -> None:
        ack()
        errand(wiring, from_command(body), lambda: reply(wiring.client, from_command(body), Message(_COMMAND)))

    def on_action(ack: Any, body: Body) -> None:
        ack()
        if body.get("view"):
            return  # an input of a form that tells us it changed
        errand(
            wiring, from_interaction(body), lambda: reply(wiring.client, from_interaction(body), Message(_OLD_BUTTON))
        )

    def on_options(ack: Any, _: Body) -> None:
        ack(options=[])

    def on_anything(ack: Any, _: Body) -> None:
        ack()

    app.command(_ANY)(edged(wiring, on_command))
    app.action(_ANY)(edged(wiring, on_action))
    app.options(_ANY)(edged(wiring, on_options))
    app.view(_ANY)(edged(wiring, on_anything))
    app.view_closed(_ANY)(edged(wiring, on_anything))
    app.shortcut(_ANY)(edged(wiring, on_anything))
    app.event(_ANY)(edged(wiring, on_anything))
