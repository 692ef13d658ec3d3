"""Change over: stop the application, swap, start it, ask whether it is well; and take it back when something says no."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bot import desk
from bot.errors import Conflict, Failed, PitstopError
from bot.model.ids import RequestId
from bot.model.swaps import Note, Standing, Swap, SwapStep, read_note
from bot.postgres.database_traits import Traits, give_traits, read_traits
from bot.postgres.maintenance import connect_beside, database_oids, translated
from bot.postgres.swap import Ended, swap_databases
from jobs.context import Cancelled
from jobs.in_place.around import Around
from jobs.in_place.work import SwapWork


@dataclass
class Change:
    """What came of a swap, for the report. `healthy` is None where nobody was asked."""

    ended: Ended = field(default_factory=lambda: Ended(0, 0.0))
    checks: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    healthy: bool | None = None


def change_over(work: SwapWork, around: Around, swap: Swap) -> Change:
    """Let the other database take the name, with the application stopped meanwhile; what an earlier run did is not done again.

    Raises:
        Failed: `hook-failed`, or the server refused: the name was not given away.
        Cancelled: the run was asked to stop before it was. Unavailable: the server stayed away.
    """
    change = Change()
    if work.standing(swap) is Standing.BEFORE:
        _require_incoming(work, swap)
        work.context.phase("stop")
        work.journal(SwapStep.STOP, swap)
        around.stop()
        work.context.check_cancelled()
        work.context.phase("swap")
        work.journal(SwapStep.SWAP, swap)
        change.warnings += _dress(work, swap)
        change.ended = work.patiently(lambda: _swap(work, swap))
    work.context.phase("start")
    work.journal(SwapStep.START, swap)
    change.checks += around.start()
    work.journal(SwapStep.HEALTH, swap)
    work.context.phase("health")
    asked = around.ask()
    if asked is not None:
        change.checks.append(asked)
        change.healthy = bool(asked["ok"])
    return change


def take_back(work: SwapWork, around: Around, swap: Swap) -> None:
    """Make sure that the database of before serves, and the application runs. Idempotent, from whatever step.

    Raises:
        PitstopError: it could not be done; which database has the name is said.
    """
    found = work.journalled()
    step = found[0] if found is not None else SwapStep.RESTORE
    reverse = work.reverse(swap)
    back = _is_back(work, reverse)
    if not back and work.standing(swap) is Standing.AFTER:
        _journal(work, SwapStep.PUT_BACK, swap)
        _quietly_stop(around)
        work.patiently(lambda: _swap(work, reverse, work.note_request))
        step, back = SwapStep.PUT_BACK, True
    if step.application_stopped or step is SwapStep.HEALTH:
        _journal(work, SwapStep.PUT_BACK, swap)
        around.start()
    if back:
        _record_taken_back(work, swap, reverse)
    _journal(work, SwapStep.DONE, swap)


def record_kept(work: SwapWork, swap: Swap) -> None:
    """Tell the desk what is kept since the swap."""
    context = work.context
    size = work.patiently(lambda: _size(work, swap.outgoing))
    work.say(
        lambda: desk.keep_database(
            context.ledger,
            request_id=work.request.id,
            swap=swap,
            size_bytes=size,
            at=context.now(),
            keep_for=work.config.restore.keep_before,
        )
    )


def _journal(work: SwapWork, step: SwapStep, swap: Swap) -> None:
    """Journal a step of putting back: also for a request that was cancelled, and is no longer ours to speak for."""
    desk.journal_swap(work.context.ledger, work.request.id, step, swap, work.context.now())


def _record_taken_back(work: SwapWork, swap: Swap, reverse: Swap) -> None:
    context = work.context
    desk.swap_taken_back(
        context.ledger,
        request_id=work.request.id,
        swap=swap,
        undone=reverse.outgoing if work.restores else None,
        size_bytes=work.patiently(lambda: _size(work, reverse.outgoing)),
        at=context.now(),
        keep_for=work.config.restore.keep_before,
    )


def _is_back(work: SwapWork, reverse: Swap) -> bool:
    """Say whether the swap was taken back by an earlier attempt."""
    try:
        return work.standing(reverse) is Standing.AFTER
    except Conflict:
        return False


def _swap(work: SwapWork, swap: Swap, kept_for: RequestId | None = None) -> Ended:
    with connect_beside(work.dsn, swap.database, swap.incoming, swap.outgoing) as connection:
        incoming = read_traits(connection, swap.incoming)
        outgoing = read_traits(connection, swap.database)
    if incoming is None or outgoing is None or incoming.oid != swap.incoming_oid:
        # It has happened: swap_databases looks at the names and says so, or says what is strange.
        comment, allowed, present = None, True, outgoing
    else:
        comment, allowed = _wanted(incoming, outgoing)
        present = outgoing
    note = Note(
        kept_for or work.request.id,
        work.request.cluster,
        "kept",
        swap.database,
        swap.oid,
        work.context.now().isoformat(),
        present.allowed if present is not None else True,
        present.comment if present is not None else None,
    )
    return swap_databases(work.dsn, swap, comment=comment, allowed=allowed, note=note)


def _wanted(incoming: Traits, outgoing: Traits) -> tuple[str | None, bool]:
    """Return the comment and the door of the database that comes: its own where it was kept, else those of the one it replaces."""
    note = read_note(incoming.comment)
    if note is not None and note.role == "kept":
        return note.comment, note.allowed
    return outgoing.comment, outgoing.allowed


def _dress(work: SwapWork, swap: Swap) -> list[str]:
    """Give a restored database what belongs to the name: owner, grants, settings, limit. A kept one has its own still."""

    def dress() -> list[str]:
        with connect_beside(work.dsn, swap.database, swap.incoming) as connection:
            traits = read_traits(connection, swap.database)
            if traits is None:
                return []
            return give_traits(connection, traits, swap.incoming)

    return work.patiently(dress) if work.restores else []


def _require_incoming(work: SwapWork, swap: Swap) -> None:
    """Make sure that there is a database to put in place before the application is stopped for it.

    Raises:
        Failed: `incoming-gone`.
    """

    def look() -> bool:
        with connect_beside(work.dsn, swap.database, swap.incoming) as connection:
            return database_oids(connection).get(swap.incoming) == swap.incoming_oid

    if not work.patiently(look):
        raise Failed(
            f"The database {swap.incoming} that was to come is not there any more.",
            hint="Did somebody drop it? Ask again.",
            code="incoming-gone",
        )


def _quietly_stop(around: Around) -> None:
    """Stop the application before a swap is taken back; one that will not stop is no reason to leave it as it is."""
    try:
        around.stop(heed=False)
    except (PitstopError, Cancelled):
        return


def _size(work: SwapWork, database: str) -> int:
    with connect_beside(work.dsn, database) as connection, translated():
        row = connection.execute(
            "SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s", [database]
        ).fetchone()
    return int(row[0]) if row else 0
