"""`/backup`: how safe it is, make a backup now, what there is, help."""

from __future__ import annotations

from typing import Any

from slack_bolt import App

from bot.errors import Usage
from bot.model.backup_commands import BackupCommand, Changing, ShowRunbook, parse_backup
from bot.model.commands import ShowHelp
from handlers.answers import answer
from handlers.backup_verbs import BACKUP_NOW
from handlers.edge import edged, errand
from handlers.facts import note, require_member
from handlers.payloads import Body, Doer, delivery_key, from_command, typed
from handlers.recording import NotRecorded
from handlers.replies import reply, reply_error
from handlers.runbook import send_runbook
from handlers.wiring import Wiring


def register(app: App, wiring: Wiring) -> None:
    """Listen to `/backup`."""

    def on_backup(ack: Any, body: Body) -> None:
        """Answer what only looks after the acknowledgement; record what changes something before it."""
        text, doer = typed(body), from_command(body)
        try:
            asked = parse_backup(text, clusters=wiring.config.clusters)
        except Usage as error:
            ack()
            errand(wiring, doer, lambda refused=error: _refuse(wiring, body, refused))  # type: ignore[misc]
            return
        if not isinstance(asked, Changing):
            ack()
            errand(wiring, doer, lambda: _answer(wiring, doer, asked))
            return
        try:
            wiring.recorder.put(delivery_key(body), BACKUP_NOW, {**doer.as_json(), "text": text})
        except NotRecorded as error:
            ack(text=error.message)
        else:
            ack()

    app.command("/backup")(edged(wiring, on_backup))


def _answer(wiring: Wiring, doer: Doer, asked: BackupCommand) -> None:
    if not isinstance(asked, ShowHelp):
        require_member(wiring, doer, "backup")
    if isinstance(asked, ShowRunbook):
        send_runbook(wiring, doer, asked.cluster)
        return
    reply(wiring.client, doer, answer(wiring, asked))


def _refuse(wiring: Wiring, body: Body, error: Usage) -> None:
    doer = from_command(body)
    note(wiring, doer, "backup", typed(body), error)
    reply_error(wiring.client, doer, error)
