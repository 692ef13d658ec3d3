"""Verify: a person's word that queues a drill."""

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


def verify(
    ledger: Ledger,
    *,
    key: str,
    cluster: ClusterName,
    backup: str | None,
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
    """Queue a drill of the newest backups, or of the one named; whoever may ask for a recovery may have one tried.

    Raises:
        Refused: `by` is not one of those who may ask. Conflict: a drill is queued or running (code "locked").
        Usage: `unknown-backup`, the list knows no such backup; the nearest id is offered.
    """
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Run]:
        permit(tx, caller, Action.BACK_UP, None, at)
        args = {"backup": _known(tx, cluster, backup)} if backup not in {None, "latest"} else {}
        run = enqueue(tx, job=Job.DRILL, cluster=cluster, args=args, by=by.key, at=at, entropy=entropy)
        return run.id, run

    return once(ledger, Call("backup.verify", key, cluster, by.key, at), body, lambda tx, run: runs.get(tx, RunId(run)))


def _known(tx: Tx, cluster: ClusterName, backup: str | None) -> str:
    if backup is not None and catalogue.find(tx, cluster, BackupId(backup)):
        return backup
    near = nearest(str(backup), [summary.id for summary in catalogue.list(tx, cluster)])
    raise Usage(
        f"The list of {cluster} has no backup {quoted(str(backup))}.",
        hint=f"Did you mean `{near}`?" if near else f"`/backup list {cluster}` shows what there is.",
        code="unknown-backup",
    )
