"""Cards: which Slack message shows which subject, and whether it is out of date. Never their content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.ledger.database import Tx, iso, parse_iso


@dataclass(frozen=True, slots=True)
class Card:
    """One message. It is out of date while `wanted` > `posted`; it has no live buttons before it is `armed`.

    `place` is `approvals`, `results`, `alerts`, `dm:<user>`, `thread:request:<id>` or `thread:run:<id>`; `ts` is
    Slack's, once posted.
    """

    id: int
    subject_kind: str
    subject: str
    place: str
    wanted: int
    posted: int
    channel: str | None
    ts: str | None
    armed: bool
    urgent: bool
    sent_at: datetime | None
    attempts: int
    failed: str | None


def want(tx: Tx, subject_kind: str, subject: str, place: str, urgent: bool = False) -> None:
    """Ask for a card, or say that it is out of date. Urgent once, urgent until it was sent."""
    tx.execute(
        "INSERT INTO cards (subject_kind, subject, place, wanted, urgent) VALUES (?, ?, ?, 1, ?)"
        " ON CONFLICT (subject_kind, subject, place) DO UPDATE"
        " SET wanted = wanted + 1, urgent = max(urgent, excluded.urgent)",
        [subject_kind, subject, place, int(urgent)],
    )


def bump(tx: Tx, subject_kind: str, subject: str, urgent: bool = False) -> int:
    """Say that every card of a subject is out of date; return how many there are."""
    cursor = tx.execute(
        "UPDATE cards SET wanted = wanted + 1, urgent = max(urgent, ?) WHERE subject_kind = ? AND subject = ?",
        [int(urgent), subject_kind, subject],
    )
    return int(cursor.rowcount)


def stale(tx: Tx, limit: int = 100) -> list[Card]:
    """Return the cards that are out of date, urgent ones first, then in the order they were asked for."""
    sql = "SELECT * FROM cards WHERE wanted > posted AND failed IS NULL ORDER BY urgent DESC, id LIMIT ?"
    return [_card(row) for row in tx.query(sql, [limit])]


def next_stale(tx: Tx, *, not_since: datetime | None = None) -> Card | None:
    """Return the next card to send: out of date, not tried after `not_since`, urgent ones first; or None."""
    sql = (
        "SELECT * FROM cards WHERE wanted > posted AND failed IS NULL AND (sent_at IS NULL OR ? IS NULL OR sent_at <= ?)"
        " ORDER BY urgent DESC, id LIMIT 1"
    )
    since = iso(not_since) if not_since else None
    row = next(tx.query(sql, [since, since]), None)
    return _card(row) if row else None


def attempted(tx: Tx, card_id: int, at: datetime) -> None:
    """Note that Slack is about to be called for a card; the answer may never come."""
    tx.execute("UPDATE cards SET attempts = attempts + 1, sent_at = ? WHERE id = ?", [iso(at), card_id])


def posted(tx: Tx, card_id: int, *, version: int, channel: str, ts: str, armed: bool, at: datetime) -> None:
    """Note a first post of `version`. Without buttons yet (`armed` False) the card stays out of date until the edit arms it."""
    tx.execute(
        "UPDATE cards SET channel = ?, ts = ?, armed = ?, posted = ?, sent_at = ?, attempts = 0, urgent = ? WHERE id = ?",
        [channel, ts, int(armed), version if armed else 0, iso(at), int(not armed), card_id],
    )


def edited(tx: Tx, card_id: int, *, version: int, at: datetime) -> None:
    """Note that Slack accepted an edit that shows `version`; the card is armed from now on."""
    tx.execute(
        "UPDATE cards SET posted = max(posted, ?), armed = 1, sent_at = ?, attempts = 0,"
        " urgent = CASE WHEN wanted <= ? THEN 0 ELSE urgent END WHERE id = ?",
        [version, iso(at), version, card_id],
    )


def lost(tx: Tx, card_id: int) -> None:
    """Note that the message is gone (deleted by somebody): the card is posted anew."""
    tx.execute(
        "UPDATE cards SET channel = NULL, ts = NULL, armed = 0, posted = 0, wanted = max(wanted, 1) WHERE id = ?",
        [card_id],
    )


def failed(tx: Tx, card_id: int, why: str) -> None:
    """Note that Slack will never take this card, and why; it is not tried again until `retry`."""
    tx.execute("UPDATE cards SET failed = ? WHERE id = ?", [why, card_id])


def retry(tx: Tx) -> int:
    """Try cards again that Slack would not take, as after a channel was put right; return how many."""
    return int(tx.execute("UPDATE cards SET failed = NULL, attempts = 0 WHERE failed IS NOT NULL").rowcount)


def refused(tx: Tx) -> list[Card]:
    """Return the cards that Slack will never take, but for those that only lack the thread of another such card."""
    sql = "SELECT * FROM cards WHERE failed IS NOT NULL AND failed <> 'thread_not_found' ORDER BY id"
    return [_card(row) for row in tx.query(sql)]


def get(tx: Tx, card_id: int) -> Card | None:
    """Return one card, or None."""
    row = next(tx.query("SELECT * FROM cards WHERE id = ?", [card_id]), None)
    return _card(row) if row else None


def find(tx: Tx, subject_kind: str, subject: str, place: str) -> Card | None:
    """Return the card of a subject at a place, or None."""
    sql = "SELECT * FROM cards WHERE subject_kind = ? AND subject = ? AND place = ?"
    row = next(tx.query(sql, [subject_kind, subject, place]), None)
    return _card(row) if row else None


def of_subject(tx: Tx, subject_kind: str, subject: str) -> list[Card]:
    """Return every card of a subject, in the order they were asked for."""
    sql = "SELECT * FROM cards WHERE subject_kind = ? AND subject = ? ORDER BY id"
    return [_card(row) for row in tx.query(sql, [subject_kind, subject])]


def shown_at(tx: Tx, channel: str, ts: str) -> Card | None:
    """Return the card whose message this is, or None: a click from any other message is not one of ours."""
    row = next(tx.query("SELECT * FROM cards WHERE channel = ? AND ts = ?", [channel, ts]), None)
    return _card(row) if row else None


def _card(row: dict[str, Any]) -> Card:
    changed = {"armed": bool(row["armed"]), "urgent": bool(row["urgent"]), "sent_at": parse_iso(row["sent_at"])}
    return Card(**{**row, **changed})
