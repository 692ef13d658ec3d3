"""Swaps and what they keep: journalled by the executor, kept longer or removed by people, announced and removed by time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.desk.asking import fresh
from bot.desk.change import PITSTOP, once, permit
from bot.desk.queueing import enqueue
from bot.errors import Usage
from bot.ledger import audit, cards, requests, runs
from bot.ledger import kept as rows
from bot.ledger.database import Ledger, Tx
from bot.model import kept as changes
from bot.model.callers import Caller
from bot.model.ids import RequestId
from bot.model.kept import ANNOUNCED_BEFORE, Kept, KeptState
from bot.model.policy import Action
from bot.model.requests import Request
from bot.model.runs import Job, Run
from bot.model.swaps import Swap, SwapStep

LONGEST = timedelta(days=90)


def journal_swap(ledger: Ledger, request_id: RequestId, step: SwapStep, swap: Swap | None, at: datetime) -> None:
    """Write durably that a step of a swap begins, before it does; `swap` once both databases exist."""
    with ledger.transaction() as tx:
        rows.journal(tx, request_id, step, swap, at)
        audit.append(tx, at, PITSTOP, f"swap.{step.value}", request_id, {"swap": _told(swap)})


def keep_database(
    ledger: Ledger, *, request_id: RequestId, swap: Swap, size_bytes: int, at: datetime, keep_for: timedelta
) -> Kept:
    """Record what a swap replaced. Idempotent. The database that came back by an undo is kept no longer."""
    with ledger.transaction() as tx:
        known = rows.find(tx, request_id)
        if known is not None:
            return known
        request = requests.get(tx, request_id)
        for other in rows.list(tx, cluster=request.cluster):
            if other.oid == swap.incoming_oid:
                _change(tx, changes.reach(other, KeptState.BACK), "back", PITSTOP, at)
        kept = _kept(request, swap, size_bytes, at, at + keep_for)
        rows.insert(tx, kept)
        _tell(tx, kept, "keep", PITSTOP, at)
        return kept


def swap_taken_back(
    ledger: Ledger,
    *,
    request_id: RequestId,
    swap: Swap,
    undone: str | None,
    size_bytes: int,
    at: datetime,
    keep_for: timedelta,
) -> None:
    """Record that a request's own swap was taken back at once. Idempotent.

    What a restore had brought is kept as `undone`; without one, what an undo had brought back is kept again as before.
    """
    with ledger.transaction() as tx:
        own, request = rows.find(tx, request_id), requests.get(tx, request_id)
        for other in rows.list(tx, cluster=request.cluster, all_=True):
            if other.oid == swap.incoming_oid and other.state is KeptState.BACK and other.id != request_id:
                _change(tx, changes.reach(other, KeptState.KEPT), "again", PITSTOP, at)
        if undone is None:
            if own is not None and own.state is KeptState.KEPT:
                _change(tx, changes.reach(own, KeptState.BACK), "back", PITSTOP, at)
            return
        taken_back = replace(swap, outgoing=undone, oid=swap.incoming_oid, incoming_oid=swap.oid)
        now = _kept(request, taken_back, size_bytes, at, at + keep_for)
        if own is None:
            rows.insert(tx, now)
            _tell(tx, now, "undone", PITSTOP, at)
        elif own.oid != now.oid:
            _change(tx, replace(now, version=own.version + 1), "undone", PITSTOP, at)


def kept_back(ledger: Ledger, request_id: RequestId, at: datetime) -> Kept | None:
    """Say that what a request kept has its name again: its own swap was taken back. Idempotent; None where it kept nothing."""
    return _reach(ledger, request_id, KeptState.BACK, "back", at)


def kept_removed(ledger: Ledger, request_id: RequestId, at: datetime) -> Kept | None:
    """Say that a kept database is gone. Idempotent."""
    return _reach(ledger, request_id, KeptState.REMOVED, "removed", at)


def extend_kept(ledger: Ledger, caller: Caller, request_id: RequestId, *, extension: timedelta) -> Kept:
    """Keep a database `extension` longer, from its present end.

    Raises:
        Refused: the caller neither asked for the swap nor may approve. Conflict: it is not kept any more.
    """

    def body(tx: Tx) -> Kept:
        kept = rows.get(tx, request_id)
        permit(tx, caller, Action.SERVER, kept.owner)
        if not timedelta(0) < extension <= LONGEST:
            raise Usage(
                "A database is kept longer by up to 90 days at a time.", hint="For example 7d.", code="extension"
            )
        return _change(tx, changes.extend(kept, extension, caller.at), "extend", caller.by.key, caller.at)

    return once(ledger, caller, "kept.extend", request_id, body, rows.get)


def remove_kept(ledger: Ledger, caller: Caller, request_id: RequestId) -> Run:
    """Queue the run that drops a kept database; there is no way back to it then. Raises like `extend_kept`."""

    def body(tx: Tx) -> Run:
        kept = rows.get(tx, request_id)
        permit(tx, caller, Action.SERVER, kept.owner)
        changes.require_kept(kept)
        return _queue(tx, kept, caller.by.key, caller.at, caller.entropy)

    return once(ledger, caller, "kept.remove", request_id, body, runs.get)


def sweep_kept(ledger: Ledger, at: datetime, entropy: bytes) -> list[Run]:
    """Announce what will be removed within a day, and queue the removal of what was announced a day ago. Idempotent.

    A removal that failed is tried again a day later.
    """
    with ledger.read() as tx:
        due = rows.due(tx, at + ANNOUNCED_BEFORE)
    queued = [_sweep(ledger, kept.id, at, fresh(entropy, kept.id)) for kept in due]
    return [run for run in queued if run is not None]


def _sweep(ledger: Ledger, request_id: RequestId, at: datetime, entropy: bytes) -> Run | None:
    with ledger.transaction() as tx:
        kept = rows.get(tx, request_id)
        if kept.state is not KeptState.KEPT or kept.remove_at > at + ANNOUNCED_BEFORE:
            return None
        if kept.announced_at is None:
            _change(tx, changes.announce(kept, at), "announce", PITSTOP, at)
            cards.want(tx, "kept", request_id, "results")
            return None
        last = runs.recent(tx, request=request_id, jobs=(Job.KEPT_REMOVE,), limit=1)
        waits = last and (not last[0].state.ended or (last[0].finished_at or at) > at - ANNOUNCED_BEFORE)
        if kept.remove_at > at or waits:
            return None
        return _queue(tx, kept, PITSTOP, at, entropy)


def _kept(request: Request, swap: Swap, size_bytes: int, at: datetime, until: datetime) -> Kept:
    """Return what a swap of a request keeps: the database that went out of service."""
    return Kept(
        id=request.id,
        cluster=request.cluster,
        database=swap.database,
        name=swap.outgoing,
        oid=swap.oid,
        current_oid=swap.incoming_oid,
        state=KeptState.KEPT,
        version=1,
        owner=request.requester,
        size_bytes=size_bytes,
        kept_at=at,
        remove_at=until,
    )


def _queue(tx: Tx, kept: Kept, by: str, at: datetime, entropy: bytes) -> Run:
    return enqueue(
        tx,
        job=Job.KEPT_REMOVE,
        cluster=kept.cluster,
        args={"database": kept.name, "oid": kept.oid},
        by=by,
        at=at,
        entropy=entropy,
        request=requests.get(tx, kept.id),
    )


def _reach(ledger: Ledger, request_id: RequestId, state: KeptState, word: str, at: datetime) -> Kept | None:
    with ledger.transaction() as tx:
        kept = rows.find(tx, request_id)
        if kept is None or kept.state is state:
            return kept
        return _change(tx, changes.reach(kept, state), word, PITSTOP, at)


def _change(tx: Tx, after: Kept, verb: str, actor: str, at: datetime) -> Kept:
    rows.update(tx, after)
    _tell(tx, after, verb, actor, at)
    return after


def _tell(tx: Tx, kept: Kept, verb: str, actor: str, at: datetime) -> None:
    detail = {
        "state": kept.state.value,
        "database": kept.database,
        "name": kept.name,
        "oid": kept.oid,
        "remove_at": kept.remove_at.isoformat(),
    }
    audit.append(tx, at, actor, f"kept.{verb}", kept.id, detail)
    cards.bump(tx, "kept", kept.id, urgent=True)
    cards.bump(tx, "request", kept.id, urgent=True)


def _told(swap: Swap | None) -> dict[str, Any] | None:
    if swap is None:
        return None
    return {"database": swap.database, "oid": swap.oid, "incoming_oid": swap.incoming_oid, "kept": swap.outgoing}
