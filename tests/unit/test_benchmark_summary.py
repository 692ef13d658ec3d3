"""What benchmarks say of their measurements: quantiles, paired ratios, tables and kept promises."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.measuring import Cost
from tests.benchmarks.summary import (
    Headline,
    Report,
    Requirement,
    headlines,
    latencies,
    paired,
    quantile,
    spread,
    table,
)
from tests.benchmarks.turns import OURS, Turns, take_turns

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
    """One unmeasured run of each, then turns; who begins changes, so that none is always the one that goes last."""
    order: list[str] = []

    def step(name: str, wall_s: float) -> Cost:
        order.append(name)
        return Cost(wall_s, 2 * wall_s, 0.1, 2**20)

    turns = take_turns(3, {OURS: lambda: step("a", 1.0), "B 1": lambda: step("b", 2.0), "C 2": lambda: step("c", 4.0)})
    assert "".join(order) == "abc" + "abc" + "cba" + "abc"
    assert turns.peers == ["B 1", "C 2"]
    assert turns.wall_ratio("B 1").text() == turns.cpu_ratio("B 1").text() == "0.50 (0.50-0.50)"
    ours, theirs, _ = turns.rows()
    assert (ours[0], ours[-2:]) == (OURS, ("", ""))
    assert (theirs[:2], theirs[-1]) == (("B 1", "2.0 (2.0-2.0)"), "0.50 (0.50-0.50)")
    assert turns.as_json()["ratios"]["C 2"]["wall"]["median"] == 0.25
    assert turns.as_json()["sides"][OURS]["peak_bytes"] == 2**20


def test_no_measurement_has_no_ratio() -> None:
    """Sides without a run do not pretend to a figure."""
    with pytest.raises(ValueError, match="0 runs"):
        Turns({OURS: [], "B": []}).wall_ratio("B")


def test_what_could_not_be_measured_is_not_kept() -> None:
    """A peer that is missing leaves a promise open: it is said, and nobody takes it for kept."""
    open_promise = Requirement("wall time, of pgBackRest's", None, 0.6)
    assert open_promise.cells() == ("wall time, of pgBackRest's", "not measured", "0.6", "NO")
    assert not open_promise.kept
    assert open_promise.as_json()["measured"] is None


def test_the_readme_gets_one_row_for_each_peer() -> None:
    """The README's table is made of what the reports say, in their order, so that nothing has to be copied by hand."""
    lines = [Headline("restore, 2 GB", "A", "0.50 (0.40-0.60)", wanted="0.7"), Headline("restore, 2 GB", "B")]
    report = Report("restore", "conditions", ("a",), [("1",)], {}, headlines=lines, machine="2 cores")
    assert headlines([report]).count("restore, 2 GB") == 2
    assert report.markdown().startswith("### restore\n\nconditions\n\n| a |")
    assert report.markdown().endswith("\n\n2 cores")


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
