"""Sides measured in turns, so that all see the same machine: ours first, then the peers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.measuring import Cost
from tests.benchmarks.summary import Spread, paired, spread

OURS = "Pitstop"
HEADERS = ("", "wall s", "CPU s", "of it the server's", "peak MiB", "Pitstop's wall : its", "Pitstop's CPU : its")

Step = Callable[[], Cost]


@dataclass(frozen=True, slots=True)
class Turns:
    """What each side's runs cost, by the side's name; the first is ours."""

    costs: Mapping[str, list[Cost]]

    @property
    def ours(self) -> list[Cost]:
        """Our runs."""
        return next(iter(self.costs.values()))

    @property
    def peers(self) -> list[str]:
        """The names of all others."""
        return list(self.costs)[1:]

    def wall_ratio(self, peer: str) -> Spread:
        """Ours divided by a peer's, turn by turn: median and quartiles.

        Raises:
            ValueError: nothing was measured.
        """
        return spread(paired([cost.wall_s for cost in self.ours], [cost.wall_s for cost in self.costs[peer]]))

    def cpu_ratio(self, peer: str) -> Spread:
        """The same of CPU, the server's included."""
        return spread(paired([cost.cpu_s for cost in self.ours], [cost.cpu_s for cost in self.costs[peer]]))

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row for each side: medians with quartiles, and how ours compares; the cells of `HEADERS`."""
        theirs = (
            (*_row(peer, self.costs[peer]), self.wall_ratio(peer).text(), self.cpu_ratio(peer).text())
            for peer in self.peers
        )
        return [(*_row(OURS, self.ours), "", ""), *theirs]

    def as_json(self) -> dict[str, Any]:
        """Return every side's figures, and our ratios to each peer's."""
        ratios = {
            peer: {"wall": self.wall_ratio(peer).as_json(), "cpu": self.cpu_ratio(peer).as_json()}
            for peer in self.peers
        }
        return {"sides": {name: _figures(costs) for name, costs in self.costs.items()}, "ratios": ratios}


def take_turns(runs: int, steps: Mapping[str, Step]) -> Turns:
    """Measure each side `runs` times, after one unmeasured run of each; who begins changes with every turn."""
    costs: dict[str, list[Cost]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for number in range(runs):
        order = list(steps) if number % 2 == 0 else list(steps)[::-1]
        for name in order:
            costs[name].append(steps[name]())
    return Turns(costs)


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
