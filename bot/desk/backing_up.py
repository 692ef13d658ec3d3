"""Back up now: a person's word that queues a base backup or a dump."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.desk.change import Call, Caller, once, permit
from bot.desk.queueing import enqueue
from bot.ledger import runs
from bot.ledger.database import Ledger, Tx
from bot.model.ids import ClusterName, RunId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import Action
from bot.model.runs import Job, Run


def back_up(
    ledger: Ledger,
    *,
    key: str,
    cluster: ClusterName,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    entropy: bytes,
    job: Job = Job.BASE_BACKUP,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Run:
    """Queue a base backup, or a dump of everything configured.

    The schedule's own occurrences are neither replaced nor delayed by it.

    Raises:
        Refused: `by` is not one of those who may ask. Conflict: one is queued or running (code "locked").
    """
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Run]:
        permit(tx, caller, Action.BACK_UP, None, at)
        run = enqueue(tx, job=job, cluster=cluster, args={}, by=by.key, at=at, entropy=entropy)
        return run.id, run

    return once(ledger, Call("backup.now", key, cluster, by.key, at), body, lambda tx, run: runs.get(tx, RunId(run)))
