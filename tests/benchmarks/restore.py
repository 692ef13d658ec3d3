"""Restore beside pgBackRest: each restores its own backup of the same cluster, and all files are durable at the end of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.ground import Ground, Options, start_alike
from tests.benchmarks.measuring import Cost
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.peer import PgBackRest, ensure_installed
from tests.benchmarks.sides import compare
from tests.benchmarks.summary import Report, Requirement, spread

ABOUT = "restore beside pgBackRest: wall and CPU, files durable on disk at the end in both"


def run(ground: Ground, options: Options) -> Report:
    """Take one backup with each, then restore both in turns into empty folders."""
    version = ensure_installed()
    cluster = ground.cluster(options.size(2_000))
    ours, theirs = Pitstop(cluster), PgBackRest(cluster, ground.account)
    ours.back_up()
    theirs.back_up()
    runs = options.repeats(7)
    sides = compare(runs, _into(cluster.home / "ours", ours.restore), _into(cluster.home / "theirs", theirs.restore))
    wall, cpu = spread(sides.wall_ratios), spread(sides.cpu_ratios)
    return Report(
        name="restore",
        conditions=f"{cluster.bytes / 1e6:.0f} MB, {runs} runs each, in turns",
        headers=("", "wall s", "CPU s", "of it the server's", "peak MiB"),
        rows=[*sides.rows("Pitstop", version), ("ratio", wall.text(), cpu.text(), "", "")],
        data={
            "cluster_bytes": cluster.bytes,
            "peer": version,
            "wall_ratio": wall.as_json(),
            "cpu_ratio": cpu.as_json(),
            **sides.as_json(),
        },
        requirements=(Requirement("wall time, of pgBackRest's", wall.median, 0.7),),
    )


def _into(folder: Path, restore: Callable[[Path], Cost]) -> Callable[[], Cost]:
    def step() -> Cost:
        start_alike(folder)
        try:
            return restore(folder)
        finally:
            start_alike(folder)

    return step
