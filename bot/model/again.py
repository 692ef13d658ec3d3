"""Ask again: what a refused, expired, void, interrupted or failed request offers to whoever asks for it anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Any

from bot.model.ids import ClusterName
from bot.model.requests import Request, State
from bot.model.times import written

_OFFERED = {
    State.REFUSED,
    State.DENIED,
    State.EXPIRED,
    State.CANCELLED,
    State.VOID,
    State.INTERRUPTED,
    State.FAILED,
}


@dataclass(frozen=True, slots=True)
class Again:
    """A new request's fields, filled in. `nearest` are reachable targets to choose from, nearest first, as they are typed."""

    verb: str
    cluster: ClusterName
    target_text: str
    destination: dict[str, Any]
    reason: str
    nearest: tuple[str, ...]


def again(request: Request) -> Again | None:
    """Return what to prefill, or None while the request may still succeed, or did. Pure.

    Where the target itself could not be reached, the nearest one that can stands in its place. A time is written out as it was
    read: “14:30” and “10 minutes ago” would mean something else by now.
    """
    if request.state not in _OFFERED:
        return None
    nearest = tuple(str(target) for target in (request.outcome or {}).get("nearest", ()))
    target = nearest[0] if request.state is State.REFUSED and nearest else _written_out(request)
    return Again(request.verb, request.cluster, target, request.destination, request.reason, nearest)


def _written_out(request: Request) -> str:
    target = request.target
    if target.at is None:
        return request.target_text
    return f"{'before ' if target.before else ''}{written(target.at, UTC)}"
