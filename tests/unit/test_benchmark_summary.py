"""What benchmarks say of their measurements: quantiles, paired ratios, tables and kept promises."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.measuring import Cost
from tests.benchmarks.sides import Sides, compare
from tests.benchmarks.summary import Report, Requirement, latencies, paired, quantile, spread, table

numbers = st.lists(st.floats(0.001, 1000), min_size=1, max_size=60)


@given(values=numbers, share=st.floats(0, 1))
def test_a_quantile_lies_among_the_values(values: list[float], share: float) -> None:
    """Whatever is measured, a quantile is between the smallest and the largest, and the order of the runs is nothing to it."""
    found = quantile(values, share)
    assert min(values) - 1e-9 <= found <= max(values) + 1e-9
    assert found == quantile(values[::-1], share)


def test_median_and_quartiles() -> None:
    """Seven runs have the fourth as their median; between two values quartiles are interpolated."""
    assert spread([7, 1, 3, 2, 6, 5, 4]).text(1) == "4.0 (2.5-5.5)"
    assert spread([2.0]).as_json() == {"median": 2.0, "quartiles": [2.0, 2.0], "runs": 1}


def test_ratios_are_of_neighbours() -> None:
    """A machine that slows down for a while slows both sides of a pair: the ratio does not see it."""
    assert paired([1.0, 10.0, 1.0], [2.0, 20.0, 2.0]) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="2 runs cannot be paired with 1"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="0 runs"):
        paired([], [])


def test_latencies_count_what_never_came() -> None:
    """One hundred answers of 1 to 100 ms: the quantiles are answers that were measured; late or never is missed."""
    found = latencies([n / 1000 for n in range(1, 101)], within_s=3)
    assert (found.p50, found.p95, found.p99, found.slowest, found.missed) == (0.050, 0.095, 0.099, 0.100, 0)
    some = latencies([*(n / 1000 for n in range(1, 99)), None, 3.5], within_s=3)
    assert (some.count, some.missed, some.p95) == (100, 2, 0.095)
    assert some.as_json()["p99_s"] is None
    assert some.as_json()["max_s"] is None


def test_sides_take_turns() -> None:
    """One unmeasured run of each, then pairs; who begins changes, so that neither is always the one that goes second."""
    order: list[str] = []

    def step(name: str, wall_s: float) -> Cost:
        order.append(name)
        return Cost(wall_s, 2 * wall_s, 0.1, 2**20)

    sides = compare(3, lambda: step("ours", 1.0), lambda: step("theirs", 2.0))
    assert order == ["ours", "theirs", "ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert sides.wall_ratios == sides.cpu_ratios == [0.5] * 3
    assert sides.rows("A", "B")[1][:2] == ("B", "2.0 (2.0-2.0)")
    assert sides.as_json()["ours"]["peak_bytes"] == 2**20


def test_no_measurement_has_no_ratio() -> None:
    """Sides without a run do not pretend to a figure."""
    with pytest.raises(ValueError, match="0 runs"):
        _ = Sides().wall_ratios


def test_a_report_says_which_promise_was_missed() -> None:
    """A bound is kept when it is reached exactly; one missed promise is marked, and the whole report is not kept."""
    kept, missed = Requirement("wall", 0.6, 0.6), Requirement("acks missed", 1, 0, "acks")
    report = Report("x", "conditions", ("a", "long header"), [("1", "2")], {"n": 1}, (kept, missed), ("A note.",))
    assert (kept.kept, missed.kept, report.kept) == (True, False, False)
    assert "| acks missed | 1 acks   | 0 acks  | NO   |" in report.text()
    assert report.text().endswith("A note.")
    told = json.loads(json.dumps(report.as_json()))
    assert told["requirements"][1] == {
        "what": "acks missed",
        "measured": 1,
        "at_most": 0,
        "unit": "acks",
        "kept": False,
    }
    assert json.loads(json.dumps(Requirement("p99", float("inf"), 300).as_json()))["measured"] is None


def test_tables_line_up() -> None:
    """Every line of a table is equally long, so that it reads well on a terminal and as Markdown."""
    lines = table(("a", "b"), [("x", "a longer cell"), ("yy", "")]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "|----|---------------|"
