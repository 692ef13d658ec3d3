"""The audit as rows: append-only, chained, with its head kept beside it so that a tail cut off shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from bot.ledger import settings
from bot.ledger.database import Tx, iso
from bot.model.audit import GENESIS, Anchor, AuditReport, Entry, chained, check
from bot.model.canonical import canonical_json

_ANCHOR = "audit-anchor"


def append(tx: Tx, at: datetime, actor: str, action: str, subject: str, detail: dict[str, Any]) -> Entry:
    """Add one entry to the chain; in the transaction of what it tells about, so that neither stands without the other.

    `actor` is a `Person.key` or "pitstop"; `detail` is JSON.
    """
    entry = chained(
        _head(tx), at=iso(at), actor=actor, action=action, subject=subject, detail=canonical_json(detail).decode()
    )
    tx.execute(
        "INSERT INTO audit (seq, at, actor, action, subject, detail, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [entry.seq, entry.at, entry.actor, entry.action, entry.subject, entry.detail, entry.prev, entry.hash],
    )
    settings.put(tx, _ANCHOR, str(Anchor(entry.seq, entry.hash)))
    return entry


def verify(tx: Tx, anchors: Sequence[Anchor] = ()) -> AuditReport:
    """Check the whole chain against the head kept beside it, heads written down elsewhere, and the rows it tells about.

    Slow for long chains.
    """
    kept = _kept(tx)
    report = check(entries(tx), [*anchors, *([kept] if kept else [])])
    found = list(report.problems)
    if kept is None:
        found.append("The head kept beside the chain is missing.")
    elif kept.seq < report.head.seq:
        found.append(f"The chain goes on to entry {report.head.seq}, but the head kept beside it is entry {kept.seq}.")
    return AuditReport(report.entries, report.head, (*found, *_untold(tx)))


def _untold(tx: Tx) -> Iterator[str]:
    """Yield what stands in the rows of requests and decisions without an entry that tells how it got there."""
    told = (
        "SELECT detail FROM audit WHERE subject = requests.id AND json_valid(detail)"
        " AND detail ->> 'version' IS NOT NULL ORDER BY seq DESC LIMIT 1"
    )
    for row in tx.query(f"SELECT id, state, version, ({told}) AS told FROM requests ORDER BY id"):  # noqa: S608
        last = json.loads(row["told"] or "{}")
        if (last.get("to"), last.get("version")) != (row["state"], row["version"]):
            yield f"Request {row['id']} is {row['state']} in its row, but the audit says {last.get('to', 'nothing')}."
    entry = (
        "SELECT 1 FROM audit WHERE subject = decisions.request AND action = 'request.' || decisions.verdict"
        " AND json_valid(detail) AND detail ->> 'human' = decisions.person AND detail ->> 'to' IS NOT NULL"
    )
    for row in tx.query(f"SELECT request, person, verdict FROM decisions WHERE NOT EXISTS ({entry})"):  # noqa: S608
        yield f"The row that {row['person']} said {row['verdict']} to request {row['request']} is not in the audit."


def entries(tx: Tx, *, subject: str | None = None, since: int = 0) -> Iterator[Entry]:
    """Yield entries, oldest first: all of them, or those about one subject, after entry number `since`."""
    sql = "SELECT * FROM audit WHERE (? IS NULL OR subject = ?) AND seq > ? ORDER BY seq"
    for row in tx.query(sql, [subject, subject, since]):
        yield Entry(**row)


def details(tx: Tx, subject: str, name: str) -> list[str]:
    """Return the text values that a subject's entries carry under `name` in their detail, oldest first."""
    sql = "SELECT detail ->> ? AS value FROM audit WHERE subject = ? AND detail ->> ? IS NOT NULL ORDER BY seq"
    return [str(row["value"]) for row in tx.query(sql, [name, subject, name])]


def export(tx: Tx) -> Iterator[str]:
    """Yield the chain as JSON lines, oldest first; each line holds what its hash was made over, and the hash."""
    for entry in entries(tx):
        row = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
        yield json.dumps(row, ensure_ascii=False)


def import_lines(lines: Sequence[str]) -> list[Entry]:
    """Read what `export` wrote, for checking a copy of the chain without its ledger."""
    return [Entry(**json.loads(line)) for line in lines if line.strip()]


def head(tx: Tx) -> Anchor:
    """Return the head of the chain as it stands, to be written down where the ledger's owner cannot reach it."""
    row = tx.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return Anchor(0, GENESIS) if row is None else Anchor(row[0], row[1])


def _head(tx: Tx) -> Anchor:
    """Return what the next entry is chained to: the kept head where it is ahead of the rows, so that a cut stays visible."""
    found, kept = head(tx), _kept(tx)
    return kept if kept is not None and kept.seq > found.seq else found


def _kept(tx: Tx) -> Anchor | None:
    try:
        return Anchor.parse(settings.get(tx, _ANCHOR) or "")
    except ValueError:
        return None
