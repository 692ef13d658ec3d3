"""Pin: a person's word that a backup stays beyond its age, or need not any more; a run writes it beside the backup."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.desk.change import Call, Caller, once, permit
from bot.desk.queueing import enqueue
from bot.errors import Usage
from bot.ledger import catalogue, runs
from bot.ledger.database import Ledger, Tx
from bot.model.ids import BackupId, ClusterName, RunId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import Action
from bot.model.runs import Job, Run
from bot.model.typed import nearest, quoted


def pin(
    ledger: Ledger,
    *,
    key: str,
    cluster: ClusterName,
    backup: BackupId,
    pinned: bool,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    entropy: bytes,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Run:
    """Queue the run that pins a backup (or unpins it); whoever may ask for a recovery may. Retention waits for that run.

    Raises:
        Refused: `by` is not one of those who may ask. Usage: `unknown-backup`, with the nearest one.
        Conflict: it is being pinned, or removed, right now (code "locked").
    """
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Run]:
        permit(tx, caller, Action.BACK_UP, None, at)
        _require_known(tx, cluster, backup)
        args = {"backup": backup, "pinned": pinned, "name": caller.called}
        run = enqueue(tx, job=Job.PIN, cluster=cluster, args=args, by=by.key, at=at, entropy=entropy)
        return run.id, run

    verb = "backup.pin" if pinned else "backup.unpin"
    return once(ledger, Call(verb, key, backup, by.key, at), body, lambda tx, run: runs.get(tx, RunId(run)))


def _require_known(tx: Tx, cluster: ClusterName, backup: BackupId) -> None:
    if catalogue.find(tx, cluster, backup) is None:
        near = nearest(backup, [summary.id for summary in catalogue.list(tx, cluster)])
        raise Usage(
            f"The list of {cluster} has no backup {quoted(backup)}.",
            hint=f"Did you mean `{near}`?" if near else f"`/backup list {cluster}` shows what there is.",
            code="unknown-backup",
        )
