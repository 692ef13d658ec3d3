"""`/pitr`: the form, help, or a recovery asked for in one line."""

from __future__ import annotations

from typing import Any

from slack_bolt import App

from bot.errors import Usage
from bot.model.commands import ShowHelp, bounded, wants_form
from bot.model.typed import plain
from bot.slack.forms import PitrDraft
from handlers.answers import answer
from handlers.edge import edged, errand
from handlers.facts import note
from handlers.modals import open_pitr_form
from handlers.payloads import Body, Doer, delivery_key, from_command, typed
from handlers.recording import NotRecorded
from handlers.replies import reply, reply_error
from handlers.request_verbs import PITR_TYPED
from handlers.wiring import Wiring


def register(app: App, wiring: Wiring) -> None:
    """Listen to `/pitr`."""

    def on_pitr(ack: Any, body: Body) -> None:
        """Open the form at once; record anything else, which the inbox worker reads and answers."""
        text, doer = typed(body), from_command(body)
        if wants_form(text, clusters=wiring.config.clusters):
            ack()
            open_pitr_form(wiring, doer, str(body.get("trigger_id")), PitrDraft(cluster=plain(text).lower()))
            return
        if plain(text[:20]).lower() == "help":
            ack()
            errand(wiring, doer, lambda: reply(wiring.client, doer, answer(wiring, ShowHelp("/pitr"))))
            return
        try:
            bounded(text)
        except Usage as error:
            ack()
            errand(wiring, doer, lambda refused=error: _refuse(wiring, doer, text, refused))  # type: ignore[misc]
            return
        try:
            wiring.recorder.put(delivery_key(body), PITR_TYPED, {**doer.as_json(), "text": text})
        except NotRecorded as error:
            ack(text=error.message)
        else:
            ack()

    app.command("/pitr")(edged(wiring, on_pitr))


def _refuse(wiring: Wiring, doer: Doer, text: str, error: Usage) -> None:
    note(wiring, doer, "pitr", text, error)
    reply_error(wiring.client, doer, error)
