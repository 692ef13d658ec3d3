"""Dump beside pg_dump: the job, encrypted and with every row counted, against pg_dump's own formats, compressed by its gzip.

`pg_dump -Z0` into nothing is the floor: what reading the database takes before anything is compressed, sealed or stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.ground import Cluster, Ground, Options, start_alike, stored_bytes
from tests.benchmarks.measuring import Cost, measured
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.pgbackrest import POLITE
from tests.benchmarks.summary import Headline, Report, Requirement
from tests.benchmarks.turns import HEADERS, OURS, take_turns

ABOUT = "dump beside pg_dump -Fc and -Fd -j2 with their gzip: wall, CPU with the server's, stored bytes"
NEEDS = ("PostgreSQL 15",)
FORMATS: Mapping[str, tuple[str, ...]] = {
    "pg_dump -Fc": ("-Fc",),
    "pg_dump -Fd -j2": ("-Fd", "-j2"),
}
FLOOR = "pg_dump -Fc -Z0, thrown away"
FIRST = next(iter(FORMATS))


def run(ground: Ground, options: Options) -> Report:
    """Measure; the sides take turns, and who begins changes with every turn."""
    cluster, runs = ground.cluster(options.size(2_000)), options.repeats(7)
    ours, theirs = Pitstop(cluster), {name: PgDump(cluster, formatted) for name, formatted in FORMATS.items()}
    floor = PgDump(cluster, ("-Fc", "-Z0"), thrown_away=True)
    turns = take_turns(runs, {OURS: ours.dump, **{name: one.dump for name, one in theirs.items()}, FLOOR: floor.dump})
    stored = {OURS: ours.stored_of("dump"), **{name: one.stored for name, one in theirs.items()}}
    start_alike(*(one.folder for one in theirs.values()))
    ratios = {name: stored[OURS] / size for name, size in stored.items()}
    return Report(
        name="dump",
        conditions=f"database of {cluster.bytes / 1e6:.0f} MB, {runs} runs each, in turns",
        headers=(*HEADERS, "stored MB", "Pitstop's : its"),
        rows=[(*row, *_stored(row[0], stored)) for row in turns.rows()],
        data={"cluster_bytes": cluster.bytes, "stored": stored, **turns.as_json()},
        requirements=(Requirement(f"wall time, of {FIRST}'s", turns.wall_ratio(FIRST).median, 0.6),),
        notes=("Pitstop's is encrypted, and counts every row in the dump's own snapshot; pg_dump's are neither.",),
        headlines=[
            Headline(
                f"dump, {cluster.bytes / 1e9:.1f} GB",
                f"{name}, gzip",
                turns.wall_ratio(name).text(),
                turns.cpu_ratio(name).text(),
                f"stored bytes {ratios[name]:.2f}",
                "0.6" if name == FIRST else "",
            )
            for name in FORMATS
        ],
    )


@dataclass(frozen=True, slots=True)
class PgDump:
    """pg_dump in one of its formats, into a file or folder of its own, durable at the end as pg_dump makes it."""

    cluster: Cluster
    options: tuple[str, ...]
    thrown_away: bool = False

    @property
    def folder(self) -> Path:
        """Where its dump is."""
        return self.cluster.home / f"pg_dump{''.join(self.options)}"

    @property
    def path(self) -> Path:
        """Its dump."""
        return self.folder / "dump"

    @property
    def stored(self) -> int:
        """The bytes of its dump."""
        return stored_bytes(self.folder)

    def dump(self) -> Cost:
        """Dump the database anew."""
        start_alike(self.folder)
        self.folder.mkdir()
        server = self.cluster.server
        argv: list[str | Path] = [*POLITE, server.binaries.tool("pg_dump"), *self.options, "-d", server.dsn()]
        where = ["-f", "/dev/null", "--no-sync"] if self.thrown_away else ["-f", str(self.path)]
        return measured([*argv, *where], log=self.cluster.log, server=server.identity.pid)


def _stored(name: str, stored: Mapping[str, int]) -> tuple[str, str]:
    if name not in stored:
        return "", ""
    return f"{stored[name] / 1e6:.1f}", "" if name == OURS else f"{stored[OURS] / stored[name]:.3f}"
