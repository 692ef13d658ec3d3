"""`python -m tests.benchmarks [NAME …]`: measure, print a table, and end with 1 when a requirement is missed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType

from tests.benchmarks.ground import MAJOR, Ground, Options, ground
from tests.benchmarks.machine import facts, mood, said
from tests.benchmarks.summary import Report, headlines

NAMES = (
    "first-screen",
    "slack-clocks",
    "backup-memory",
    "base-backup",
    "base-backup-s3",
    "restore",
    "wal-archiving",
    "listing",
    "scrub",
    "dump",
    "dump-restore",
)
"""In the order in which `all` runs them."""


def main(arguments: list[str]) -> int:
    """Run the named benchmarks on one ground, or list them; return the exit code."""
    chosen = _parser().parse_args(arguments)
    if not chosen.names:
        for name in NAMES:
            print(f"{name:15} {load(name).ABOUT}")
        return 0
    # A benchmark that is asked to end cleans up as at Ctrl-C, which a shell may have turned off for what runs behind it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = NAMES if "all" in chosen.names else tuple(dict.fromkeys(chosen.names))
    options = Options(quick=chosen.quick, size_mb=chosen.size, runs=chosen.runs)
    reports = []
    with ground() as here:
        for name in names:
            reports.append(_on_this_machine(name, here, options))
            if not chosen.json:
                print(reports[-1].markdown() if chosen.markdown else reports[-1].text(), end="\n\n", flush=True)
    if chosen.json:
        print(json.dumps([report.as_json() for report in reports], indent=2))
    if chosen.markdown:
        print(f"### For the README\n\n{headlines(reports)}")
    return 0 if all(report.kept for report in reports) else 1


def _on_this_machine(name: str, here: Ground, options: Options) -> Report:
    """Run one, and say what it was measured on and how busy that was."""
    before = mood()
    report: Report = load(name).run(here, options)
    measured_on = f"{datetime.now(UTC).date()}, {facts(MAJOR, here.root)}. {said(before, mood())}"
    return replace(report, machine=measured_on)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure what Pitstop promises.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", choices=[*NAMES, "all", []], help=f"{'; '.join(NAMES)}; all"
    )
    parser.add_argument("--quick", action="store_true", help="a small cluster and few runs, to try it out")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one document instead of tables")
    form.add_argument(
        "--markdown", action="store_true", help="the sections of docs/benchmarks.md and the README's table"
    )
    parser.add_argument("--size", type=int, metavar="MB", help="the size of the big cluster")
    parser.add_argument("--runs", type=int, metavar="N", help="how often each side is measured")
    return parser


def load(name: str) -> ModuleType:
    """Return a benchmark's module: `ABOUT` says what it measures, `NEEDS` what it stands on, `run` does it."""
    return import_module(f"tests.benchmarks.{name.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
