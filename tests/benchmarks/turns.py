"""Two sides measured in turns, so that both see the same machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks.measuring import Cost
from tests.benchmarks.summary import paired, spread


@dataclass(slots=True)
class Sides:
    """What each run of ours and of theirs cost, in pairs."""

    ours: list[Cost] = field(default_factory=list)
    theirs: list[Cost] = field(default_factory=list)

    @property
    def wall_ratios(self) -> list[float]:
        """Ours divided by theirs, pair by pair."""
        return paired([cost.wall_s for cost in self.ours], [cost.wall_s for cost in self.theirs])

    @property
    def cpu_ratios(self) -> list[float]:
        """The same of CPU, the server's included."""
        return paired([cost.cpu_s for cost in self.ours], [cost.cpu_s for cost in self.theirs])

    def rows(self, our_name: str, their_name: str) -> list[tuple[str, ...]]:
        """Return one row for each side: medians with quartiles."""
        return [_row(our_name, self.ours), _row(their_name, self.theirs)]

    def as_json(self) -> dict[str, Any]:
        """Return both sides' figures."""
        return {"ours": _figures(self.ours), "theirs": _figures(self.theirs)}


def compare(runs: int, ours: Callable[[], Cost], theirs: Callable[[], Cost]) -> Sides:
    """Measure both `runs` times, after one unmeasured run of each; who begins changes with every pair."""
    sides = Sides()
    ours()
    theirs()
    for number in range(runs):
        steps = [(sides.ours, ours), (sides.theirs, theirs)]
        for costs, step in steps if number % 2 == 0 else reversed(steps):
            costs.append(step())
    return sides


def _row(name: str, costs: list[Cost]) -> tuple[str, ...]:
    return (
        name,
        spread([cost.wall_s for cost in costs]).text(1),
        spread([cost.cpu_s for cost in costs]).text(1),
        spread([cost.server_cpu_s for cost in costs]).text(1),
        spread([cost.peak_bytes / 2**20 for cost in costs]).text(0),
    )


def _figures(costs: list[Cost]) -> dict[str, Any]:
    return {
        "wall_s": spread([cost.wall_s for cost in costs]).as_json(),
        "cpu_s": spread([cost.cpu_s for cost in costs]).as_json(),
        "server_cpu_s": spread([cost.server_cpu_s for cost in costs]).as_json(),
        "peak_bytes": max(cost.peak_bytes for cost in costs),
    }
