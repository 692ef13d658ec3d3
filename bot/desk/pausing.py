"""Pause a cluster's schedule for a while, and resume it; the WAL stream never pauses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.desk.change import Call, Caller, once, permit
from bot.errors import Conflict
from bot.ledger import audit, cards, pauses
from bot.ledger.database import Ledger, Tx, iso
from bot.model.ids import ClusterName
from bot.model.pauses import Pause
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import Action


def pause(
    ledger: Ledger,
    *,
    key: str,
    cluster: ClusterName,
    span: timedelta,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    entropy: bytes,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Pause:
    """Let nothing heavy begin by schedule for `span` from now; a pause that holds already is replaced by this one.

    Raises:
        Refused: `by` is not one of those who may back up.
    """
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Pause]:
        permit(tx, caller, Action.BACK_UP, None, at)
        if (before := pauses.current(tx, cluster, at)) is not None:
            _end(tx, before, by, at)
        made = Pause(f"{at:%Y%m%dT%H%M%SZ}-{entropy[:4].hex()}", cluster, by, caller.called, at, at + span)
        pauses.insert(tx, made)
        audit.append(tx, at, by.key, "schedule.pause", cluster, {"pause": made.id, "until": iso(made.until)})
        cards.want(tx, "pause", made.id, "results")
        return made.id, made

    return once(ledger, Call("schedule.pause", key, cluster, by.key, at), body, pauses.get)


def resume_schedule(
    ledger: Ledger,
    *,
    key: str,
    cluster: ClusterName,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Pause:
    """End the pause of a cluster's schedule; what was due meanwhile is caught up once.

    Raises:
        Refused: `by` is not one of those who may back up. Conflict: it is not paused.
    """
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Pause]:
        permit(tx, caller, Action.BACK_UP, None, at)
        held = pauses.current(tx, cluster, at)
        if held is None:
            raise Conflict(
                f"The schedule of {cluster} is not paused.",
                hint=f"`/backup schedule {cluster}` shows what is due when.",
                code="not-paused",
            )
        ended = _end(tx, held, by, at)
        audit.append(tx, at, by.key, "schedule.resume", cluster, {"pause": ended.id})
        return ended.id, ended

    return once(ledger, Call("schedule.resume", key, cluster, by.key, at), body, pauses.get)


def _end(tx: Tx, held: Pause, by: Person, at: datetime) -> Pause:
    cards.bump(tx, "pause", held.id)
    return pauses.end(tx, held, by, at)
