"""Backups from Slack: one now, a drill, a pause of the schedule. From an item of the inbox to one verb of the desk."""

from __future__ import annotations

from collections.abc import Callable

from bot import desk
from bot.errors import Usage
from bot.ledger import inbox, pauses
from bot.model.backup_commands import BackupNow, Pause, Pin, Resume, Verify, parse_backup
from bot.model.dumps import EVERYTHING
from bot.model.ids import ClusterName
from bot.model.runs import Job
from bot.slack.blocks import Message
from bot.slack.cards import actions
from bot.slack.text import code, moment
from handlers.facts import caller_on, card_shows, known_backup, note
from handlers.payloads import Doer
from handlers.wiring import Wiring

BACKUP_NOW = "backup.now"


def _typed(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    """What was typed after `/backup` and changes something: whoever may ask for a recovery may do it."""
    text = str(item.payload["text"])
    try:
        asked = parse_backup(text, clusters=wiring.config.clusters)
    except Usage as error:
        note(wiring, doer, "backup", text, error)
        raise
    match asked:
        case BackupNow():
            return _backup_now(wiring, item, doer, asked)
        case Verify():
            return _verify(wiring, item, doer, asked)
        case Pause():
            return _pause(wiring, item, doer, asked)
        case Resume(cluster=cluster):
            return _resume(wiring, item, doer, cluster)
        case Pin():
            return _pin(wiring, item, doer, asked)
    raise Usage("That changes nothing.", hint="See `/backup help`.", code="unknown-word")


def _backup_now(wiring: Wiring, item: inbox.Item, doer: Doer, asked: BackupNow) -> Message:
    """`/backup now CLUSTER [dump …]`."""
    caller = caller_on(wiring, item, doer, asked.cluster)
    job = Job.DUMP if asked.kind == "dump" else Job.BASE_BACKUP
    run = desk.back_up(wiring.ledger, caller, asked.cluster, job=job, selection=asked.selection)
    dump = "Dump" if asked.selection == EVERYTHING else "Dump of a part"
    cluster, what = code(asked.cluster, 80), dump if asked.kind == "dump" else "Base backup"
    return Message(f"{what} of {cluster} queued as run `{run.id}`; its card is in the results channel.")


def _pause(wiring: Wiring, item: inbox.Item, doer: Doer, asked: Pause) -> Message:
    """`/backup pause CLUSTER 2h`."""
    caller = caller_on(wiring, item, doer, asked.cluster)
    held = desk.pause(wiring.ledger, caller, asked.cluster, span=asked.span)
    return Message(f"The schedule of {code(asked.cluster, 80)} is paused until {moment(held.until)}. WAL goes on.")


def _resume(wiring: Wiring, item: inbox.Item, doer: Doer, cluster: ClusterName) -> Message:
    """`/backup resume CLUSTER`, or the button on the card of the pause."""
    desk.resume_schedule(wiring.ledger, caller_on(wiring, item, doer, cluster), cluster)
    return Message(f"The schedule of {code(cluster, 80)} goes on; what was missed is caught up once.")


def _resume_pressed(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    pause = str(item.payload["request"])
    card_shows(wiring, doer, pause, kinds=("pause",))
    with wiring.ledger.read() as tx:
        cluster = pauses.get(tx, pause).cluster
    return _resume(wiring, item, doer, cluster)


def _pin(wiring: Wiring, item: inbox.Item, doer: Doer, asked: Pin) -> Message:
    """`/backup pin ID`, `/backup unpin ID`: the id tells the cluster, where the list knows it."""
    try:
        known = known_backup(wiring, asked.backup)
    except Usage as error:
        note(wiring, doer, "backup.pin" if asked.pinned else "backup.unpin", asked.backup, error)
        raise
    caller = caller_on(wiring, item, doer, known.cluster)
    run = desk.pin(wiring.ledger, caller, known.cluster, asked.backup, pinned=asked.pinned)
    what = "pinned: it stays until it is unpinned" if asked.pinned else "unpinned: its age decides again"
    return Message(f"{code(asked.backup, 80)} of {code(known.cluster, 80)} is being {what} (run `{run.id}`).")


def _verify(wiring: Wiring, item: inbox.Item, doer: Doer, asked: Verify) -> Message:
    """`/backup verify CLUSTER [ID]`."""
    caller = caller_on(wiring, item, doer, asked.cluster)
    run = desk.verify(wiring.ledger, caller, asked.cluster, backup=asked.backup)
    what = code(asked.backup, 80) if asked.backup else "the newest backups"
    return Message(
        f"Drill of {what} of {code(asked.cluster, 80)} queued as run `{run.id}`; its card is in the results channel."
    )


VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {
    BACKUP_NOW: _typed,
    actions.RESUME: _resume_pressed,
}
