"""Misbehaviour on demand: each fault waits for the next calls or envelopes it fits, then is used up; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.sandbox.refusals import NotPossible
from bot.sandbox.values import Json

# Faults of Web API calls; `method` is exact, a prefix ending in `*`, or everything.
API_FAULTS: dict[str, Json] = {
    "lose_answer": {"method": "*", "count": 1},
    "error": {"method": "*", "count": 1, "status": 500},
    "api_error": {"method": "*", "count": 1, "error": "internal_error", "after": False},
    "rate_limited": {"method": "*", "count": 1, "retry_after": 1},
    "slow": {"method": "*", "count": 1, "seconds": 1.0},
}
# Faults of deliveries to the app; `kind` is `slash_commands`, `interactive`, `events_api` or everything.
DELIVERY_FAULTS: dict[str, Json] = {
    "duplicate": {"kind": "*", "count": 1, "copies": 1, "after": 0.0},
    "late": {"kind": "*", "count": 1, "seconds": 5.0},
    "out_of_order": {"kind": "*", "count": 1},
    "lose_envelope": {"kind": "*", "count": 1},
    "lose_ack": {"kind": "*", "count": 1},
}
# Faults that happen at once.
SOCKET_FAULTS: dict[str, Json] = {
    "refresh": {"reason": "refresh_requested", "linger": 10.0},
    "disconnect": {},
    "refuse_sockets": {"enabled": True},
}
SWITCHES: dict[str, Json] = {"rate_limits": {"enabled": False}, "none": {}}
KNOWN = API_FAULTS | DELIVERY_FAULTS | SOCKET_FAULTS | SWITCHES


@dataclass(slots=True)
class Fault:
    """One fault and how often it still happens."""

    name: str
    args: Json
    left: int


@dataclass(slots=True)
class Faults:
    """The faults waiting to happen."""

    waiting: list[Fault] = field(default_factory=list)
    sockets_refused: bool = False

    def add(self, name: str, args: Json) -> Json:
        """Ask for a fault and return its arguments, defaults included.

        Raises:
            NotPossible: code `no_such_fault`.
        """
        if name not in KNOWN:
            raise NotPossible("no_such_fault", f"“{name}” is none of {', '.join(sorted(KNOWN))}.")
        unknown = sorted(set(args) - set(KNOWN[name]))
        if unknown:
            raise NotPossible(
                "no_such_fault", f"“{name}” takes {', '.join(KNOWN[name]) or 'nothing'}, not {', '.join(unknown)}."
            )
        merged = {**KNOWN[name], **args}
        if name in API_FAULTS or name in DELIVERY_FAULTS:
            self.waiting.append(Fault(name, merged, int(merged["count"])))
        return merged

    def take(self, name: str, what: str) -> Json | None:
        """Use up one occurrence of a fault that fits the method or kind `what`; returns its arguments."""
        for fault in self.waiting:
            if fault.name == name and _fits(str(fault.args.get("method", fault.args.get("kind"))), what):
                fault.left -= 1
                if fault.left <= 0:
                    self.waiting.remove(fault)
                return fault.args
        return None

    def clear(self) -> None:
        """End every fault."""
        self.waiting.clear()
        self.sockets_refused = False


def _fits(pattern: str, what: str) -> bool:
    return what.startswith(pattern[:-1]) if pattern.endswith("*") else what == pattern
