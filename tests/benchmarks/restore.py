"""Restore beside pgBackRest and Barman: each restores its own backup of one cluster, and all files are durable at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.ground import Ground, Options, start_alike
from tests.benchmarks.measuring import Cost
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.peers import peers
from tests.benchmarks.summary import Headline, Report, Requirement
from tests.benchmarks.turns import HEADERS, OURS, take_turns

ABOUT = "restore beside pgBackRest and Barman: wall and CPU, files durable on disk at the end in all"
NEEDS = ("PostgreSQL 15", "pgBackRest", "Barman")


def run(ground: Ground, options: Options) -> Report:
    """Take one backup with each, then restore them in turns into empty folders."""
    cluster, runs = ground.cluster(options.size(2_000)), options.repeats(7)
    ours = Pitstop(cluster)
    with peers(ground, cluster) as others:
        ours.back_up()
        for peer in others.all:
            peer.back_up()
        steps = {OURS: ours.restore, **{peer.name: peer.restore for peer in others.all}}
        turns = take_turns(runs, {name: _into(cluster.home / "restored", step) for name, step in steps.items()})
    first = others.pgbackrest.name if others.pgbackrest else None
    return Report(
        name="restore",
        conditions=f"{cluster.bytes / 1e6:.0f} MB, {runs} runs each, in turns",
        headers=HEADERS,
        rows=turns.rows(),
        data={"cluster_bytes": cluster.bytes, **turns.as_json()},
        requirements=(
            Requirement("wall time, of pgBackRest's", turns.wall_ratio(first).median if first else None, 0.7),
        ),
        notes=others.left_out,
        headlines=[
            Headline(
                f"restore, {cluster.bytes / 1e9:.1f} GB",
                peer,
                turns.wall_ratio(peer).text(),
                turns.cpu_ratio(peer).text(),
                wanted="0.7" if peer == first else "",
            )
            for peer in turns.peers
        ],
    )


def _into(folder: Path, restore: Callable[[Path], Cost]) -> Callable[[], Cost]:
    def step() -> Cost:
        start_alike(folder)
        try:
            return restore(folder)
        finally:
            start_alike(folder)

    return step
