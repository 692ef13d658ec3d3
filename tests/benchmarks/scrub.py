"""Scrub beside `pgbackrest verify`: everything of one base backup read again, decrypted, decompressed and checked."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.benchmarks.ground import Ground, Options
from tests.benchmarks.measuring import Cost
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.peers import installed_pgbackrest
from tests.benchmarks.summary import Headline, Report, spread
from tests.benchmarks.turns import HEADERS, OURS, take_turns

ABOUT = "scrub beside pgbackrest verify: MB of the cluster checked for each second of wall time and of CPU"
NEEDS = ("PostgreSQL 15", "pgBackRest")


def run(ground: Ground, options: Options) -> Report:
    """Take one backup with each, then check both in turns."""
    cluster, runs = ground.cluster(options.size(2_000)), options.repeats(7)
    ours = Pitstop(cluster)
    others, left_out = installed_pgbackrest(ground, cluster)
    ours.back_up()
    steps: dict[str, Callable[[], Cost]] = {OURS: _settled(ours.scrub)}
    for peer in others:
        peer.back_up()
        steps[peer.name] = _settled(peer.verify)
    turns = take_turns(runs, steps)
    megabytes = cluster.bytes / 1e6
    return Report(
        name="scrub",
        conditions=f"one base backup of {megabytes:.0f} MB, {runs} runs each, in turns",
        headers=(*HEADERS, "MB/s", "MB per CPU second"),
        rows=[(*row, *_speed(megabytes, turns.costs[row[0]])) for row in turns.rows()],
        data={"cluster_bytes": cluster.bytes, **turns.as_json()},
        notes=[*left_out, "Barman is left out: it verifies no backup that is compressed or encrypted."],
        headlines=[
            Headline(
                f"scrub, {megabytes / 1e3:.1f} GB",
                f"{peer} verify",
                turns.wall_ratio(peer).text(),
                turns.cpu_ratio(peer).text(),
            )
            for peer in turns.peers
        ],
    )


def _settled(step: Callable[[], Cost]) -> Callable[[], Cost]:
    def settled() -> Cost:
        os.sync()
        return step()

    return settled


def _speed(megabytes: float, costs: list[Cost]) -> tuple[str, str]:
    wall = spread([megabytes / cost.wall_s for cost in costs])
    cpu = spread([megabytes / cost.cpu_s for cost in costs])
    return wall.text(0), cpu.text(0)
