"""The benchmarks as a set: each can be loaded, says what it measures and stands on, and leaves nothing running."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import machine
from tests.benchmarks.ground import Options
from tests.benchmarks.installing import Missing, ensure_programs


@pytest.mark.parametrize("name", bench.NAMES)
def test_each_benchmark_says_what_it_measures_and_what_it_needs(name: str) -> None:
    """`./dev bench` lists them from this, and nobody finds out in the middle of a run that something is missing."""
    module = bench.load(name)
    assert module.ABOUT
    assert len(module.ABOUT) < 110
    assert module.NEEDS
    assert callable(module.run)


def test_each_benchmark_is_in_the_document() -> None:
    """docs/benchmarks.md has a row for every benchmark, and none for one that is gone."""
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text("utf-8")
    listed, _, _ = page.partition("## What is compared")
    named = {line.split("`")[1] for line in listed.splitlines() if line.startswith("| `")}
    assert named == set(bench.NAMES)


def test_no_name_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name nothing is measured."""
    assert bench.main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(bench.NAMES)


def test_what_is_asked_for_wins() -> None:
    """--size and --runs win over --quick, and --quick over the full measure."""
    assert (Options().size(2_000), Options().repeats(7)) == (2_000, 7)
    assert (Options(quick=True).size(2_000), Options(quick=True).repeats(7)) == (150, 2)
    assert (Options(quick=True, size_mb=9, runs=3).size(2_000), Options(runs=3).repeats(7)) == (9, 3)


def test_a_program_that_is_here_is_not_installed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched for what is on the PATH; where nothing can be installed, the package is named."""
    ensure_programs({"sh": "no-such-package"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Missing, match="apt-get install no-such-package"):
        ensure_programs({"sh": "no-such-package"})


def test_a_busy_machine_says_so() -> None:
    """A figure that was taken beside other work carries that with it."""
    quiet, busy = machine.Mood(0.01, 0.3), machine.Mood(0.6, 4.0)
    assert machine.said(quiet, quiet).startswith("Others used 1% of the cores before and 1% after")
    assert machine.said(quiet, busy).startswith("**Taken on a busy machine**")
