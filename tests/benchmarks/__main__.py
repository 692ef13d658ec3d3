"""`python -m tests.benchmarks [NAME …]`: measure, print a table, and end with 1 when a requirement is missed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from importlib import import_module
from types import ModuleType

from tests.benchmarks.ground import Options, ground
from tests.benchmarks.summary import Report

NAMES = ("slack-clocks", "backup-memory", "base-backup", "restore")


def main(arguments: list[str]) -> int:
    """Run the named benchmarks on one ground, or list them; return the exit code."""
    chosen = _parser().parse_args(arguments)
    if not chosen.names:
        for name in NAMES:
            print(f"{name:15} {_module(name).ABOUT}")
        return 0
    # A benchmark that is asked to end cleans up as at Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = Options(quick=chosen.quick, size_mb=chosen.size, runs=chosen.runs)
    reports = []
    with ground() as here:
        for name in chosen.names:
            reports.append(_with_load(_module(name).run(here, options)))
            if not chosen.json:
                print(reports[-1].text(), end="\n\n", flush=True)
    if chosen.json:
        print(json.dumps([report.as_json() for report in reports], indent=2))
    return 0 if all(report.kept for report in reports) else 1


def _with_load(report: Report) -> Report:
    """Say how busy the machine was at the end: far more than the benchmark's own two or three means that others were at work."""
    busy = f"Load average at the end: {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores."
    return replace(report, notes=(*report.notes, busy))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure what Pitstop promises.")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NAMES, []], help="; ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="a small cluster and few runs, to try it out")
    parser.add_argument("--json", action="store_true", help="one document instead of tables")
    parser.add_argument("--size", type=int, metavar="MB", help="the size of the big cluster")
    parser.add_argument("--runs", type=int, metavar="N", help="how often each side is measured")
    return parser


def _module(name: str) -> ModuleType:
    return import_module(f"tests.benchmarks.{name.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
