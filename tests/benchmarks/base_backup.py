"""Base backup beside pgBackRest and Barman: the same cluster, in turns, encrypted and compressed by all."""

from __future__ import annotations

from tests.benchmarks.ground import Ground, Options
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.peers import peers
from tests.benchmarks.summary import Headline, Report, Requirement
from tests.benchmarks.turns import HEADERS, OURS, take_turns

ABOUT = "base backup beside pgBackRest and Barman: wall, CPU with the server's, stored bytes"
NEEDS = ("PostgreSQL 15", "pgBackRest", "Barman")


def run(ground: Ground, options: Options) -> Report:
    """Measure; the sides take turns, and who begins changes with every turn."""
    cluster, runs = ground.cluster(options.size(2_000)), options.repeats(7)
    ours = Pitstop(cluster)
    with peers(ground, cluster) as others:
        turns = take_turns(runs, {OURS: ours.back_up, **{peer.name: peer.back_up for peer in others.all}})
        stored = {OURS: ours.stored, **{peer.name: peer.stored for peer in others.all}}
    ratios = {name: ours.stored / size for name, size in stored.items()}
    first = others.pgbackrest.name if others.pgbackrest else None
    wanted = (0.6, 0.7, 1.02)
    return Report(
        name="base-backup",
        conditions=f"{cluster.bytes / 1e6:.0f} MB, {runs} runs each, in turns",
        headers=(*HEADERS, "stored MB", "Pitstop's : its"),
        rows=[
            (*row, f"{stored[row[0]] / 1e6:.1f}", "" if row[0] == OURS else f"{ratios[row[0]]:.3f}")
            for row in turns.rows()
        ],
        data={"cluster_bytes": cluster.bytes, "stored": stored, **turns.as_json()},
        requirements=(
            Requirement("wall time, of pgBackRest's", turns.wall_ratio(first).median if first else None, wanted[0]),
            Requirement("CPU, of pgBackRest's", turns.cpu_ratio(first).median if first else None, wanted[1]),
            Requirement("stored bytes, of pgBackRest's", ratios[first] if first else None, wanted[2]),
        ),
        notes=others.left_out,
        headlines=[
            Headline(
                f"base backup, {cluster.bytes / 1e9:.1f} GB",
                peer,
                turns.wall_ratio(peer).text(),
                turns.cpu_ratio(peer).text(),
                f"stored bytes {ratios[peer]:.2f}",
                "0.6 · 0.7 · 1.02" if peer == first else "",
            )
            for peer in turns.peers
        ],
    )
