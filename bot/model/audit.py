"""The audit chain: each entry is hashed over the one before, so that a changed, missing or reordered entry shows.

What a chain alone cannot show is a tail cut off. For that a head seen earlier (an `Anchor`) is compared: the ledger keeps one
beside the chain, and whoever wrote one down elsewhere can pass it in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.model.canonical import canonical_json

GENESIS = "0" * 64
"""What the first entry is hashed over."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit. `at` is ISO 8601 UTC text, `detail` canonical JSON text; both are hashed as they stand.

    `actor` is a `Person.key` or "pitstop"; `prev` and `hash` are SHA-256 in hex.
    """

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    detail: str
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head of the chain that was seen: entry `seq` had this `hash`. Prints as `42:9f3c…`."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Read what `str` wrote.

        Raises:
            ValueError: `text` is not `number:64 hex digits`.
        """
        seq, _, digest = text.strip().partition(":")
        if not seq.isdigit() or len(digest) != 64 or any(c not in "0123456789abcdef" for c in digest):
            raise ValueError(f"not an audit anchor: {text!r}")
        return cls(int(seq), digest)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check of the chain found: how many entries, the head to write down elsewhere, and one sentence per problem."""

    entries: int
    head: Anchor
    problems: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing was changed, removed, reordered or cut off."""
        return not self.problems


def entry_hash(*, seq: int, at: str, actor: str, action: str, subject: str, detail: str, prev: str) -> str:
    """Return the SHA-256 (hex) of an entry's canonical JSON. Pure."""
    body = {"seq": seq, "at": at, "actor": actor, "action": action, "subject": subject, "detail": detail, "prev": prev}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def chained(head: Anchor, *, at: str, actor: str, action: str, subject: str, detail: str) -> Entry:
    """Return the entry that follows `head`. Pure."""
    seq = head.seq + 1
    digest = entry_hash(seq=seq, at=at, actor=actor, action=action, subject=subject, detail=detail, prev=head.hash)
    return Entry(seq, at, actor, action, subject, detail, head.hash, digest)


def check(entries: Iterable[Entry], anchors: Sequence[Anchor] = ()) -> AuditReport:
    """Check a whole chain, oldest entry first, against heads seen before. Damage is a result. Pure."""
    head = Anchor(0, GENESIS)
    problems: list[str] = []
    wanted: dict[int, set[str]] = {}
    for anchor in anchors:
        if anchor.seq > 0:  # several may name one entry, and all of them have to be right
            wanted.setdefault(anchor.seq, set()).add(anchor.hash)
    count = 0
    for entry in entries:
        count += 1
        problems += _problems(entry, head)
        if wanted.pop(entry.seq, {entry.hash}) != {entry.hash}:
            problems.append(f"Entry {entry.seq} is not the one that was anchored: the chain was written anew.")
        head = Anchor(entry.seq, entry.hash)
    problems += [
        f"The chain ends at entry {head.seq}, but entry {seq} was seen before: its tail was cut off."
        for seq in sorted(wanted)
        if seq > head.seq
    ]
    return AuditReport(count, head, tuple(problems))


def _problems(entry: Entry, head: Anchor) -> list[str]:
    found = []
    if entry.seq != head.seq + 1:
        found.append(f"Entry {entry.seq} follows entry {head.seq}: entries are missing between them.")
    elif entry.prev != head.hash:
        found.append(f"Entry {entry.seq} is not chained to entry {head.seq}.")
    digest = entry_hash(
        seq=entry.seq,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        detail=entry.detail,
        prev=entry.prev,
    )
    if digest != entry.hash:
        found.append(f"Entry {entry.seq} was changed after it was written.")
    return found
