"""What a benchmark says: quantiles, paired ratios, tables, and which requirements held. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of `values` lie, between two of them linearly. At least one value."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several measurements, and the quartiles around it."""

    median: float
    low: float
    high: float
    count: int

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "median": round(self.median, 4),
            "quartiles": [round(self.low, 4), round(self.high, 4)],
            "runs": self.count,
        }

    def text(self, digits: int = 2) -> str:
        """Return `0.55 (0.53-0.58)`."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles. At least one value."""
    return Spread(quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75), len(values))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return ours divided by theirs, run by run: neighbours in time share the machine's mood.

    Raises:
        ValueError: there are more of one than of the other, or none.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} runs cannot be paired with {len(theirs)}")
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long deliveries took, in seconds; `missed` got no answer in time, and count as the slowest."""

    count: int
    missed: int
    p50: float
    p95: float
    p99: float
    slowest: float

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only: seconds; a quantile that falls among the missed ones is None."""
        times = {"p50_s": self.p50, "p95_s": self.p95, "p99_s": self.p99, "max_s": self.slowest}
        known = {name: None if value == float("inf") else round(value, 4) for name, value in times.items()}
        return {"count": self.count, "missed": self.missed, **known}


def latencies(seconds: Iterable[float | None], *, within_s: float) -> Latencies:
    """Sum up answers' times; None is one that never came, and one after `within_s` is as good as that. At least one."""
    counted = [float("inf") if value is None or value > within_s else value for value in seconds]
    return Latencies(
        count=len(counted),
        missed=counted.count(float("inf")),
        p50=_nearest(counted, 0.50),
        p95=_nearest(counted, 0.95),
        p99=_nearest(counted, 0.99),
        slowest=max(counted),
    )


@dataclass(frozen=True, slots=True)
class Requirement:
    """A promise and what was measured: it is kept when `measured` is at most `at_most`; None could not be measured here."""

    what: str
    measured: float | None
    at_most: float
    unit: str = ""

    @property
    def kept(self) -> bool:
        """Whether the figure is within its bound; one that is not known is not."""
        return self.measured is not None and self.measured <= self.at_most

    def cells(self) -> tuple[str, str, str, str]:
        """Return the row that people read."""
        measured = "not measured" if self.measured is None else f"{self.measured:.3g} {self.unit}".strip()
        return (self.what, measured, f"{self.at_most:g} {self.unit}".strip(), "yes" if self.kept else "NO")

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        known = self.measured is not None and self.measured != float("inf")
        measured = round(self.measured, 4) if known and self.measured is not None else None
        return {"what": self.what, "measured": measured, "at_most": self.at_most, "unit": self.unit, "kept": self.kept}


@dataclass(frozen=True, slots=True)
class Headline:
    """One row of the README's table: what was compared with whom, and what came of it; cells may be empty."""

    what: str
    beside: str
    wall: str = ""
    cpu: str = ""
    more: str = ""
    wanted: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the row."""
        return (self.what, self.beside, self.wall, self.cpu, self.more, self.wanted)


HEADLINE_HEADERS = ("what", "beside", "wall time", "CPU", "besides", "wanted at most")


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark measured: rows for people, the same figures as `data` for programs, and the promises.

    `machine` is what it was measured on, with how busy that was.
    """

    name: str
    conditions: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any]
    requirements: Sequence[Requirement] = field(default_factory=tuple)
    notes: Sequence[str] = field(default_factory=tuple)
    headlines: Sequence[Headline] = field(default_factory=tuple)
    machine: str = ""

    @property
    def kept(self) -> bool:
        """Whether every requirement held."""
        return all(requirement.kept for requirement in self.requirements)

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "name": self.name,
            "conditions": self.conditions,
            "machine": self.machine,
            "measured": dict(self.data),
            "requirements": [requirement.as_json() for requirement in self.requirements],
            "notes": list(self.notes),
            "kept": self.kept,
        }

    def text(self) -> str:
        """Return the report as people read it; it is Markdown as well."""
        parts = [f"{self.name}: {self.conditions}", table(self.headers, self.rows)]
        if self.requirements:
            promised = [requirement.cells() for requirement in self.requirements]
            parts.append(table(("requirement", "measured", "at most", "kept"), promised))
        parts += [*self.notes, self.machine]
        return "\n\n".join(part for part in parts if part)

    def markdown(self) -> str:
        """Return the section for docs/benchmarks.md."""
        return f"### {self.name}\n\n{self.text().partition(': ')[2]}"


def headlines(reports: Sequence[Report]) -> str:
    """Return the README's table of what these reports say."""
    return table(HEADLINE_HEADERS, [line.cells() for report in reports for line in report.headlines])


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up."""
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    lines = [_line(headers, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _nearest(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of all are not above: one that was measured, never one in between."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
