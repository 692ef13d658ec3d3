"""What people say about backups: make one now, try one, keep one. Each word queues a run."""

from __future__ import annotations

from typing import Any

from bot.desk.change import once, permit
from bot.desk.queueing import enqueue
from bot.errors import Usage
from bot.ledger import catalogue, runs
from bot.ledger.database import Ledger, Tx
from bot.model.callers import Caller
from bot.model.dumps import EVERYTHING, Selection
from bot.model.ids import BackupId, ClusterName
from bot.model.old_backups import names_old_backup
from bot.model.policy import Action
from bot.model.runs import Job, Run
from bot.model.typed import nearest, quoted


def back_up(
    ledger: Ledger,
    caller: Caller,
    cluster: ClusterName,
    *,
    job: Job = Job.BASE_BACKUP,
    selection: Selection = EVERYTHING,
) -> Run:
    """Queue a base backup, or a dump of everything configured, or of the `selection` of it.

    The schedule's own occurrences are neither replaced nor delayed by it.

    Raises:
        Refused: the caller is not one of those who may ask. Conflict: one is queued or running (code "locked").
    """

    def body(tx: Tx) -> Run:
        permit(tx, caller, Action.BACK_UP)
        return _queue(tx, caller, job, cluster, {} if selection == EVERYTHING else selection.as_json())

    return once(ledger, caller, "backup.now", cluster, body, runs.get)


def verify(ledger: Ledger, caller: Caller, cluster: ClusterName, *, backup: str | None) -> Run:
    """Queue a drill of the newest backups, or of the one named; whoever may ask for a recovery may have one tried.

    What is named is the id of a backup, or an old backup's file.

    Raises:
        Refused: the caller is not one of those who may ask. Conflict: a drill is queued or running (code "locked").
        Usage: `unknown-backup`, the list knows no such backup; the nearest id is offered.
    """

    def body(tx: Tx) -> Run:
        permit(tx, caller, Action.BACK_UP)
        if backup is None or backup == "latest":
            args = {}
        else:  # whether there is an old file of that name, the run says
            args = {"backup": backup if names_old_backup(backup) else _known(tx, cluster, backup)}
        return _queue(tx, caller, Job.DRILL, cluster, args)

    return once(ledger, caller, "backup.verify", cluster, body, runs.get)


def pin(ledger: Ledger, caller: Caller, cluster: ClusterName, backup: BackupId, *, pinned: bool) -> Run:
    """Queue the run that pins a backup (or unpins it); whoever may ask for a recovery may. Retention waits for that run.

    Raises:
        Refused: the caller is not one of those who may ask. Usage: `unknown-backup`, with the nearest one.
        Conflict: it is being pinned, or removed, right now (code "locked").
    """

    def body(tx: Tx) -> Run:
        permit(tx, caller, Action.BACK_UP)
        args = {"backup": _known(tx, cluster, backup), "pinned": pinned, "name": caller.called}
        return _queue(tx, caller, Job.PIN, cluster, args)

    return once(ledger, caller, "backup.pin" if pinned else "backup.unpin", backup, body, runs.get)


def _queue(tx: Tx, caller: Caller, job: Job, cluster: ClusterName, args: dict[str, Any]) -> Run:
    return enqueue(tx, job=job, cluster=cluster, args=args, by=caller.by.key, at=caller.at, entropy=caller.entropy)


def _known(tx: Tx, cluster: ClusterName, backup: str) -> str:
    if catalogue.find(tx, cluster, BackupId(backup)) is None:
        near = nearest(backup, [summary.id for summary in catalogue.list(tx, cluster)])
        raise Usage(
            f"The list of {cluster} has no backup {quoted(backup)}.",
            hint=f"Did you mean `{near}`?" if near else f"`/backup list {cluster}` shows what there is.",
            code="unknown-backup",
        )
    return backup
