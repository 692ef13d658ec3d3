"""One swap under way, of a restore in place or of an undo: its databases, its journal, and what runs around it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bot import desk
from bot.errors import Unavailable
from bot.ledger import kept as rows
from bot.model.destinations import InPlace
from bot.model.hooks import Hooks
from bot.model.ids import RequestId
from bot.model.restores import Restoration, Undoing
from bot.model.swaps import Standing, Swap, SwapStep, standing, undone_name
from bot.postgres.maintenance import connect_beside, database_oids
from jobs.restore.work import RestoreWork

T = TypeVar("T")
_SERVER_AWAY_S = 120.0
_AGAIN_S = 1.0


@dataclass(frozen=True)
class SwapWork(RestoreWork):
    """What every phase of a swap gets."""

    @property
    def place(self) -> InPlace:
        """Whose name is taken, and by what."""
        return self.steps.in_place

    @property
    def hooks(self) -> Hooks:
        """What was approved to run around it."""
        work = self.steps.work
        assert isinstance(work, Restoration | Undoing)
        return work.hooks

    @property
    def restores(self) -> bool:
        """Whether the database that comes is made by this request; an undo's is kept already."""
        return isinstance(self.steps.work, Restoration)

    @property
    def note_request(self) -> RequestId:
        """For which request a swap taken back leaves its database kept."""
        return self.request.id if self.restores else self.steps.undoing.of

    def swap_of(self, incoming_oid: int) -> Swap:
        """Return the swap, once the database that comes is known."""
        place = self.place
        return Swap(self.request.id, place.database, place.oid, place.incoming, incoming_oid, place.kept)

    def reverse(self, swap: Swap) -> Swap:
        """Return the swap that takes `swap` back at once.

        What a restore brought is then kept as undone; what an undo brought is kept again as it was.
        """
        undone = undone_name(swap.database, self.request.id) if self.restores else swap.incoming
        return Swap(self.request.id, swap.database, swap.incoming_oid, swap.outgoing, swap.oid, undone)

    def journal(self, step: SwapStep, swap: Swap | None = None) -> None:
        """Write that `step` begins, before it does; waits out a ledger that is locked or full."""
        self.say(lambda: desk.journal_swap(self.context.ledger, self.request.id, step, swap, self.context.now()))

    def journalled(self) -> tuple[SwapStep, Swap | None] | None:
        """Return the step an earlier run of this request was in, and its swap."""
        with self.context.ledger.read() as tx:
            return rows.journalled(tx, self.request.id)

    def standing(self, swap: Swap) -> Standing:
        """Ask the server whose database has the name, waiting for one that is away for two minutes.

        Raises:
            Conflict: `swap-strange`. Unavailable: it stays away.
        """

        def look() -> Standing:
            with connect_beside(self.dsn, swap.database, swap.incoming, swap.outgoing) as connection:
                return standing(database_oids(connection), swap)

        return self.patiently(look)

    def patiently(self, work: Callable[[], T]) -> T:
        """Do something with the server, again and again while it is away, for two minutes.

        Raises:
            Unavailable: it stays away.
        """
        deadline = time.monotonic() + _SERVER_AWAY_S
        while True:
            try:
                return work()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_S)
