"""Base backup beside pgBackRest: the same cluster, in turns, encrypted and compressed by both."""

from __future__ import annotations

from tests.benchmarks.ground import Ground, Options
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.peer import PgBackRest, ensure_installed
from tests.benchmarks.sides import compare
from tests.benchmarks.summary import Report, Requirement, paired, spread

ABOUT = "base backup beside pgBackRest: wall, CPU with the server's, stored bytes"


def run(ground: Ground, options: Options) -> Report:
    """Measure; ours and theirs take turns, and who begins changes with every pair."""
    version = ensure_installed()
    cluster = ground.cluster(options.size(2_000))
    ours, theirs = Pitstop(cluster), PgBackRest(cluster, ground.account)
    runs = options.repeats(7)
    sides = compare(runs, ours.back_up, theirs.back_up)
    stored = paired([ours.stored], [theirs.stored])[0]
    wall, cpu = spread(sides.wall_ratios), spread(sides.cpu_ratios)
    rows = sides.rows("Pitstop", f"{version}")
    return Report(
        name="base-backup",
        conditions=f"{cluster.bytes / 1e6:.0f} MB, {runs} runs each, in turns",
        headers=("", "wall s", "CPU s", "of it the server's", "peak MiB"),
        rows=[
            *rows,
            ("ratio", wall.text(), cpu.text(), "", ""),
            ("stored MB", f"{ours.stored / 1e6:.1f} : {theirs.stored / 1e6:.1f}", "", "", ""),
        ],
        data={
            "cluster_bytes": cluster.bytes,
            "peer": version,
            "wall_ratio": wall.as_json(),
            "cpu_ratio": cpu.as_json(),
            "stored_ratio": round(stored, 4),
            **sides.as_json(),
        },
        requirements=(
            Requirement("wall time, of pgBackRest's", wall.median, 0.6),
            Requirement("CPU, of pgBackRest's", cpu.median, 0.7),
            Requirement("stored bytes, of pgBackRest's", stored, 1.02),
        ),
    )
