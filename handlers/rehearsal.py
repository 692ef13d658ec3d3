"""The rehearsal's notes: a form opened from the card, kept through the inbox."""

from __future__ import annotations

from typing import Any

from slack_bolt import App

from bot import desk
from bot.ledger import inbox, runs
from bot.model.ids import RunId
from bot.slack import forms
from bot.slack.blocks import Message
from bot.slack.cards import actions
from handlers.edge import edged
from handlers.facts import caller_on, card_shows
from handlers.modals import open_form, record_form, token_for
from handlers.payloads import Body, Doer, from_interaction, pressed
from handlers.wiring import Wiring

_TITLE = "Notes of a rehearsal"


def register(app: App, wiring: Wiring) -> None:
    """Listen to the button on the card, and to the form."""
    app.action(actions.NOTE_REHEARSAL)(edged(wiring, lambda ack, body: _on_press(wiring, ack, body)))
    app.view(actions.REHEARSAL_FORM)(edged(wiring, lambda ack, body: _on_form(wiring, ack, body)))


def _on_press(wiring: Wiring, ack: Any, body: Body) -> None:
    ack()
    doer, run = from_interaction(body), pressed(body)[1]

    def fill() -> forms.View:
        card_shows(wiring, doer, run, kinds=("run",))
        return forms.rehearsal_form(token=f"{token_for(wiring, doer.who, 'rehearsal', None)} {run}")

    open_form(wiring, doer, str(body.get("trigger_id")), _TITLE, fill)


def _on_form(wiring: Wiring, ack: Any, body: Body) -> None:
    doer, view = from_interaction(body), body.get("view") or {}
    given = forms.filled_in(view.get("state") or {})
    text = given.get(forms.NOTES, "").strip()
    if not text:
        ack(response_action="errors", errors={forms.NOTES: "What was found?"})
        return
    token, _, run = str(view.get("private_metadata", "")).partition(" ")
    payload = {**doer.as_json(), "run": run, "token": token, "text": text, "went_well": given.get(forms.WENT) == "well"}
    record_form(wiring, ack, body, actions.REHEARSAL_FORM, payload, block=forms.NOTES)


def _note(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    given = item.payload
    with wiring.ledger.read() as tx:
        run = runs.get(tx, RunId(str(given["run"])))
    caller = caller_on(wiring, item, doer, run.cluster)
    well, text = bool(given["went_well"]), str(given["text"])
    desk.note_rehearsal(wiring.ledger, caller, run.id, went_well=well, text=text)
    return Message("Your notes are on the card and in the audit.")


VERBS = {actions.REHEARSAL_FORM: _note}
