"""A database swap: which database takes whose name, where it stands by what the server says, and the note left on the server.

The two renames are one transaction of the server, so a swap has happened or it has not: the names and OIDs of the server say
which, whatever a journal says. The note is the comment of the database that Pitstop made or keeps; it is enough to finish or
undo a swap by hand when the ledger is lost. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from bot.errors import Conflict
from bot.model.ids import ClusterName, RequestId

NAME_BYTES = 63
"""The longest name PostgreSQL takes, in bytes."""

_MARK = "Pitstop: "


class SwapStep(StrEnum):
    """What is journalled, in order: each is written before its work begins.

    A crash in any of them leaves a database that serves: the old one up to `SWAP`, from then on whichever has the name.
    """

    RESTORE = "restore"
    STOP = "stop"
    SWAP = "swap"
    START = "start"
    HEALTH = "health"
    PUT_BACK = "put-back"
    DONE = "done"

    @property
    def application_stopped(self) -> bool:
        """Whether the hooks before may have run and those after may not have."""
        return self in {SwapStep.STOP, SwapStep.SWAP, SwapStep.START, SwapStep.PUT_BACK}


class Standing(StrEnum):
    """Whose database has the name."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Swap:
    """`incoming` takes the name `database`, and what has it now becomes `outgoing`; the OIDs are those of before."""

    request: RequestId
    database: str
    oid: int
    incoming: str
    incoming_oid: int
    outgoing: str


@dataclass(frozen=True, slots=True)
class Note:
    """What Pitstop writes on a database of its own: for which request it stands, and what it was or will be.

    `role` is `coming` (a copy being made) or `kept` (what had the name before). `allowed` and `comment` are what a kept database
    gets back when it is brought back. `at` is ISO 8601 UTC.
    """

    request: RequestId
    cluster: ClusterName
    role: str
    database: str
    oid: int
    at: str
    allowed: bool = True
    comment: str | None = None

    def text(self) -> str:
        """Return the comment: a sentence for people, then everything for programs."""
        what = {"coming": "a copy that will become", "kept": "kept from before"}[self.role]
        return f"{_MARK}{what} {self.database}, request {self.request}. {json.dumps(asdict(self), sort_keys=True)}"


def read_note(comment: str | None) -> Note | None:
    """Return the note a comment carries, or None when Pitstop did not write it."""
    if comment is None or not comment.startswith(_MARK):
        return None
    head = comment.rfind('. {"allowed"')
    try:
        return Note(**json.loads(comment[head + 2 :])) if head > 0 else None
    except (ValueError, TypeError):
        return None


def standing(names: Mapping[str, int], swap: Swap) -> Standing:
    """Say from the server's databases (name → OID) whether the swap has happened.

    It has not while the old one has the name, also when the other was dropped since.

    Raises:
        Conflict: neither; somebody renamed or dropped one of the two by hand.
    """
    if names.get(swap.database) == swap.oid:
        return Standing.BEFORE
    if names.get(swap.database) == swap.incoming_oid and names.get(swap.outgoing) == swap.oid:
        return Standing.AFTER
    raise Conflict(
        f"The databases of this swap are not where Pitstop left them: {swap.database} and {swap.incoming} were expected.",
        hint="Did somebody rename or drop one? `psql -l+` shows Pitstop's notes; docs/in-place.md says what to do.",
        code="swap-strange",
    )


def name_beside(database: str, word: str, request: RequestId) -> str:
    """Return `<database>_<word>_<request>`, with the database's part cut at a character where it would be too long."""
    tail = f"_{word}_{request}"
    head = database.encode()[: NAME_BYTES - len(tail.encode())].decode("utf-8", "ignore")
    return head + tail


def coming_name(database: str, request: RequestId) -> str:
    """Return the name of the copy while it is made."""
    return name_beside(database, "coming", request)


def kept_name(database: str, request: RequestId) -> str:
    """Return the name under which an in-place restore keeps what it replaced."""
    return name_beside(database, "before", request)


def undone_name(database: str, request: RequestId) -> str:
    """Return the name under which an undo keeps what it took back."""
    return name_beside(database, "undone", request)
