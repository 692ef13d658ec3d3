"""WAL: how far behind it is durable, holes in it, the receiver, the slots that keep it on the server. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.model.alerts import Concern, Severity
from bot.model.amounts import size, span
from bot.model.wal import Lsn


@dataclass(frozen=True, slots=True)
class Durability:
    """How far one repository holds a cluster's WAL.

    `covered_until`: all that was written by then is in it (None: unknown). `server_lsn` is the newest known position of the
    server, whoever saw it.
    """

    cluster: str
    repository: str
    durable_lsn: Lsn
    server_lsn: Lsn
    covered_until: datetime | None

    def exposure(self, now: datetime) -> timedelta:
        """Return how much of the past would be lost with the server: nothing where all that was written is durable."""
        if self.durable_lsn >= self.server_lsn or self.covered_until is None:
            return timedelta()
        return max(timedelta(), now - self.covered_until)

    @property
    def behind_bytes(self) -> int:
        """How many bytes of WAL the repository lacks."""
        return max(0, int(self.server_lsn) - int(self.durable_lsn))


def wal_lag(
    durabilities: Sequence[Durability], *, target: timedelta, maximum: timedelta, now: datetime
) -> list[Concern]:
    """Say which repositories are further behind than the objective for lost data: past its target warn, past its maximum page."""
    found = []
    for one in durabilities:
        lag = one.exposure(now)
        if lag <= target:
            continue
        limit = f"maximum of {span(maximum)}" if lag > maximum else f"target of {span(target)}"
        sentence = (
            f"{one.repository} lacks what {one.cluster} wrote in the last {span(lag)} ({size(one.behind_bytes)} of WAL): "
            f"more than the objective for lost data allows, a {limit}."
        )
        fix = f"Does the WAL receiver run, and can it write there? `pitstop status {one.cluster}`"
        severity = Severity.PAGE if lag > maximum else Severity.WARN
        found.append(Concern("wal-lag", one.cluster, one.repository, severity, sentence, fix))
    return found


@dataclass(frozen=True, slots=True)
class Hole:
    """WAL [start, end) that a repository lacks since its oldest base backup."""

    repository: str
    start: Lsn
    end: Lsn


def wal_gaps(cluster: str, holes: Sequence[Hole]) -> list[Concern]:
    """Say which WAL is missing for good. Acknowledged, a hole is known: it stays in the recovery window and alarms no more."""
    return [
        Concern(
            "wal-gap",
            cluster,
            f"{hole.repository} {hole.start}",
            Severity.PAGE,
            f"{hole.repository} lacks the WAL of {cluster} from {hole.start} to {hole.end}: recovery cannot pass it.",
            f"Take a new base backup, so that what follows can be recovered: pitstop backup base {cluster}. Then acknowledge this.",
            occurrence=f"{hole.start}-{hole.end}",
        )
        for hole in holes
    ]


@dataclass(frozen=True, slots=True)
class Receiver:
    """A cluster's receiver: `alive_for` since it took its lock (None: none lives), `down_for` since one was last alive."""

    cluster: str
    alive_for: timedelta | None
    down_for: timedelta | None
    error: str = ""


def receiver_down(receiver: Receiver, *, after: timedelta) -> tuple[list[Concern], bool]:
    """Say that no receiver lives for `after`; also returned is whether that could be judged: not right after a start or an end."""
    if receiver.alive_for is not None:
        return [], receiver.alive_for >= after
    if receiver.down_for is None or receiver.down_for < after:
        return [], False
    why = f" The last one ended: {receiver.error}" if receiver.error else ""
    sentence = f"No WAL receiver of {receiver.cluster} runs for {span(receiver.down_for)}: what is written is lost with it.{why}"
    fix = f"`pitstop status {receiver.cluster}`; does the server answer, and is a slot left for it?"
    return [Concern("receiver-down", receiver.cluster, "", Severity.WARN, sentence, fix)], True


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot as the server sees it; `safe_bytes` is what may be written before it is given up (None: no limit).

    `retained_bytes` is what it keeps on the server; `ours` says whether it is one of Pitstop's two.
    """

    name: str
    ours: bool
    active: bool
    wal_status: str
    safe_bytes: int | None
    retained_bytes: int


def slots(
    cluster: str, found: Sequence[Slot], *, expected: Sequence[str], safe_bytes: int, retained_bytes: int
) -> list[Concern]:
    """Say which slots are lost, about to be, or keep more than `retained_bytes` on the server; others' slots only the last."""
    concerns = []
    for slot in found:
        told = _slot(cluster, slot, safe_bytes, retained_bytes)
        if told is not None:
            severity, sentence, fix = told
            concerns.append(Concern("slot", cluster, slot.name, severity, sentence, fix))
    for name in sorted(set(expected) - {slot.name for slot in found}):
        sentence = f"The slot {name} does not exist: {cluster} may drop WAL that no repository holds."
        fix = "The WAL receiver makes it: does it run? `pitstop status`"
        concerns.append(Concern("slot", cluster, name, Severity.WARN, sentence, fix))
    return concerns


def _slot(cluster: str, slot: Slot, safe_bytes: int, retained_bytes: int) -> tuple[Severity, str, str] | None:
    stuck = f"Is the receiver or the repository stuck? `pitstop status {cluster}`"
    if slot.ours and slot.wal_status == "lost":
        sentence = f"The server gave the slot {slot.name} up: WAL of {cluster} may be missing."
        fix = f"Take a new base backup, and raise max_slot_wal_keep_size: pitstop backup base {cluster}"
        return Severity.PAGE, sentence, fix
    if slot.ours and slot.wal_status == "unreserved":
        sentence = f"The server gives the slot {slot.name} up at its next checkpoint: WAL of {cluster} will be missing."
        return Severity.PAGE, sentence, f"{stuck} Raise max_slot_wal_keep_size meanwhile."
    if slot.ours and slot.safe_bytes is not None and slot.safe_bytes < safe_bytes and slot.retained_bytes > 0:
        sentence = f"The server gives the slot {slot.name} up after {size(max(0, slot.safe_bytes))} more of WAL."
        return Severity.WARN, sentence, f"{stuck} Raise max_slot_wal_keep_size meanwhile."
    if slot.retained_bytes > retained_bytes:
        used = "is used" if slot.active else "is used by nobody"
        sentence = f"The slot {slot.name} keeps {size(slot.retained_bytes)} of WAL on {cluster} and {used}."
        fix = stuck if slot.ours else f"SELECT pg_drop_replication_slot('{slot.name}');  -- if nobody needs it any more"
        return Severity.WARN, sentence, fix
    return None


def server_down(cluster: str, error: str, hint: str) -> list[Concern]:
    """Say that the live server does not answer."""
    return [Concern("server-down", cluster, "", Severity.WARN, error, hint)]
