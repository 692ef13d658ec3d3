"""Keep what somebody noted of a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.desk.change import Call, Caller, once, permit, redeem
from bot.errors import Usage
from bot.ledger import audit, cards, rehearsals, runs
from bot.ledger.database import Ledger, Tx
from bot.ledger.rehearsals import Notes
from bot.model.ids import RunId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import Action
from bot.model.runs import Job, Run

MAX_NOTES_CHARS = 2000


def note_rehearsal(
    ledger: Ledger,
    *,
    key: str,
    run_id: RunId,
    went_well: bool,
    text: str,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
    token: str | None = None,
) -> Run:
    """Keep somebody's notes of the rehearsal that a run reminded of, and show them on its card.

    Raises:
        Refused: `by` is not one of those who may ask. Usage: there are no notes, too many, or no such rehearsal.
    """
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Run]:
        permit(tx, caller, Action.BACK_UP, None, at)
        run = runs.get(tx, run_id)
        if run.job is not Job.REHEARSAL or not 0 < len(text) <= MAX_NOTES_CHARS:
            raise Usage(f"Notes have 1 to {MAX_NOTES_CHARS:,} characters.", hint="What was found?", code="bad-notes")
        redeem(tx, token, caller, "rehearsal", at)
        rehearsals.add(tx, Notes(run_id, run.cluster, by, caller.called, went_well, text, at))
        audit.append(tx, at, by.key, "rehearsal.note", run_id, {"went_well": went_well, "text": text})
        cards.bump(tx, "run", run_id)
        return run_id, run

    return once(ledger, Call("rehearsal.note", key, run_id, by.key, at), body, lambda tx, run: runs.get(tx, RunId(run)))
