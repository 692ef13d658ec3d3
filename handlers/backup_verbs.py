"""Backups from Slack: one now, a drill, a pause of the schedule. From an item of the inbox to one verb of the desk."""

from __future__ import annotations

from collections.abc import Callable

from bot import desk
from bot.errors import Usage
from bot.ledger import inbox
from bot.model.backup_commands import BackupNow, Verify, parse_backup
from bot.model.runs import Job
from bot.slack.blocks import Message
from bot.slack.text import code
from handlers.facts import note, policy_of, told_of
from handlers.payloads import Doer
from handlers.wiring import Wiring

BACKUP_NOW = "backup.now"


def _backup_now(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    """`/backup now CLUSTER [dump]`, `/backup verify CLUSTER [ID]`: whoever may ask for a recovery may make a backup."""
    text = str(item.payload["text"])
    try:
        asked = parse_backup(text, clusters=wiring.config.clusters)
    except Usage as error:
        note(wiring, doer, "backup", text, error)
        raise
    if isinstance(asked, Verify):
        return _verify(wiring, item, doer, asked)
    if not isinstance(asked, BackupNow):
        raise Usage("There is nothing to back up in that.", hint="See `/backup help`.", code="unknown-word")
    run = desk.back_up(
        wiring.ledger,
        key=item.key,
        cluster=asked.cluster,
        by=doer.who,
        at=wiring.now(),
        entropy=wiring.entropy(16),
        job=Job.DUMP if asked.kind == "dump" else Job.BASE_BACKUP,
        **told_of(wiring, doer, policy_of(wiring, asked.cluster)),
    )
    cluster, what = code(asked.cluster, 80), "Dump" if asked.kind == "dump" else "Base backup"
    return Message(f"{what} of {cluster} queued as run `{run.id}`; its card is in the results channel.")


def _verify(wiring: Wiring, item: inbox.Item, doer: Doer, asked: Verify) -> Message:
    """`/backup verify CLUSTER [ID]`: whoever may ask for a recovery may have one tried."""
    run = desk.verify(
        wiring.ledger,
        key=item.key,
        cluster=asked.cluster,
        backup=asked.backup,
        by=doer.who,
        at=wiring.now(),
        entropy=wiring.entropy(16),
        **told_of(wiring, doer, policy_of(wiring, asked.cluster)),
    )
    what = code(asked.backup, 80) if asked.backup else "the newest backups"
    return Message(
        f"Drill of {what} of {code(asked.cluster, 80)} queued as run `{run.id}`; its card is in the results channel."
    )


VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {BACKUP_NOW: _backup_now}
