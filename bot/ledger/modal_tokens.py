"""Modal tokens: a modal carries one, good for one use, for one person, for one version of one request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.errors import Conflict, Refused
from bot.ledger.database import Tx, iso
from bot.model.ids import RequestId
from bot.model.people import Person


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token was bound to: `request` and `version` are None for a modal that starts a new request."""

    request: RequestId | None
    version: int | None


def issue(
    tx: Tx,
    token: str,
    *,
    person: Person,
    purpose: str,
    expires_at: datetime,
    request: RequestId | None = None,
    version: int | None = None,
) -> None:
    """Keep a token; it is random and unguessable by whoever made it (`secrets.token_urlsafe`)."""
    tx.execute(
        "INSERT INTO modal_tokens (token, request, version, person, purpose, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        [token, request, version, person.key, purpose, iso(expires_at)],
    )


def redeem(tx: Tx, token: str, *, person: Person, purpose: str, at: datetime) -> Bound:
    """Use a token up and return what it was bound to.

    Raises:
        Refused: it is not this person's, not for this purpose, or none of ours.
        Conflict: it was used before, or it is too old.
    """
    row = next(tx.query("SELECT * FROM modal_tokens WHERE token = ?", [token]), None)
    if row is None or row["person"] != person.key or row["purpose"] != purpose:
        raise Refused("This form was not opened for you.", hint="Open it again from the card.", code="token-foreign")
    if row["used_at"] is not None:
        raise Conflict("This form was sent before.", hint="Look at the card.", code="token-used")
    if row["expires_at"] <= iso(at):
        raise Conflict("This form was open for too long.", hint="Open it again from the card.", code="token-expired")
    tx.execute("UPDATE modal_tokens SET used_at = ? WHERE token = ?", [iso(at), token])
    return Bound(RequestId(row["request"]) if row["request"] else None, row["version"])


def forget(tx: Tx, before: datetime) -> int:
    """Drop tokens that expired before a time; return how many."""
    return int(tx.execute("DELETE FROM modal_tokens WHERE expires_at < ?", [iso(before)]).rowcount)
