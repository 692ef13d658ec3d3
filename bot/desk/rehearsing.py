"""Keep what somebody noted of a rehearsal."""

from __future__ import annotations

from bot.desk.change import once, permit, redeem
from bot.errors import Usage
from bot.ledger import audit, cards, rehearsals, runs
from bot.ledger.database import Ledger, Tx
from bot.ledger.rehearsals import Notes
from bot.model.callers import Caller
from bot.model.ids import RunId
from bot.model.policy import Action
from bot.model.runs import Job, Run

MAX_NOTES_CHARS = 2000


def note_rehearsal(ledger: Ledger, caller: Caller, run_id: RunId, *, went_well: bool, text: str) -> Run:
    """Keep somebody's notes of the rehearsal that a run reminded of, and show them on its card.

    Raises:
        Refused: the caller is not one of those who may ask. Usage: there are no notes, too many, or no such rehearsal.
    """

    def body(tx: Tx) -> Run:
        permit(tx, caller, Action.BACK_UP)
        run = runs.get(tx, run_id)
        if run.job is not Job.REHEARSAL or not 0 < len(text) <= MAX_NOTES_CHARS:
            raise Usage(f"Notes have 1 to {MAX_NOTES_CHARS:,} characters.", hint="What was found?", code="bad-notes")
        redeem(tx, caller, "rehearsal")
        rehearsals.add(tx, Notes(run_id, run.cluster, caller.by, caller.called, went_well, text, caller.at))
        detail = {"went_well": went_well, "text": text}
        audit.append(tx, caller.at, caller.by.key, "rehearsal.note", run_id, detail)
        cards.bump(tx, "run", run_id)
        return run

    return once(ledger, caller, "rehearsal.note", run_id, body, runs.get)
