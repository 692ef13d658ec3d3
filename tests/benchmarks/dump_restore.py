"""Restore of a dump beside pg_restore: into a new database of the same server, each from its own dump.

Pitstop's side is the executor of an approved request: pg_restore fed from the encrypted repository, statistics, every row counted
and held to the dump's counts, and the rename. pg_restore's is pg_restore alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bot.model.requests import State
from bot.model.restores import Wanted
from tests.benchmarks.dump import PgDump
from tests.benchmarks.ground import Cluster, Ground, Options, start_alike
from tests.benchmarks.measuring import Cost, measured
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.pgbackrest import POLITE
from tests.benchmarks.summary import Headline, Report
from tests.benchmarks.turns import HEADERS, OURS, take_turns
from tests.recoveries import agreed, asked, get, queue_executor

ABOUT = "restore of a dump into a new database, beside pg_restore, also with -j2: wall and CPU"
NEEDS = ("PostgreSQL 15",)
_TARGET = "restored"


def run(ground: Ground, options: Options) -> Report:
    """Dump once with each, then restore in turns into a database that is dropped again."""
    size_mb, runs = options.size(1_000), options.repeats(7)
    # Of its own: restores fill it with WAL, which the clusters of others are spared.
    cluster = ground.cluster_of_its_own("dump-restore", size_mb, {})
    ours, theirs = Pitstop(cluster), PgDump(cluster, ("-Fc",))
    ours.dump()
    theirs.dump()
    steps = {
        OURS: _Ours(ours).restore,
        "pg_restore": PgRestore(cluster, theirs.path, ()).restore,
        "pg_restore -j2": PgRestore(cluster, theirs.path, ("-j2",)).restore,
    }
    turns = take_turns(runs, {name: _anew(cluster, step) for name, step in steps.items()})
    start_alike(theirs.folder)
    return Report(
        name="dump-restore",
        conditions=f"database of {cluster.bytes / 1e6:.0f} MB, {runs} runs each, in turns",
        headers=HEADERS,
        rows=turns.rows(),
        data={"cluster_bytes": cluster.bytes, **turns.as_json()},
        notes=[
            "Pitstop's gathers statistics, counts every row and holds it to the dump's count; pg_restore's does none of it.",
            "Pitstop feeds pg_restore through a pipe, so that nothing is ever a plain file; -j2 needs a file.",
        ],
        headlines=[
            Headline(
                f"restore of a dump, {cluster.bytes / 1e9:.1f} GB",
                f"{peer}, -Fc",
                turns.wall_ratio(peer).text(),
                turns.cpu_ratio(peer).text(),
                "with statistics and every row counted",
            )
            for peer in turns.peers
        ],
    )


@dataclass(frozen=True, slots=True)
class _Ours:
    """Restores of the newest dump, each planned and approved before it is measured."""

    pitstop: Pitstop

    def restore(self) -> Cost:
        """Carry one out."""
        here = self.pitstop.cluster.installation
        request = agreed(here, asked(here, "restore", Wanted(), "latest", {"kind": "database", "database": _TARGET}))
        cost = self.pitstop.execute(queue_executor(here, request.id).id)
        done = get(here, request.id)
        assert done.state is State.SUCCEEDED, done.outcome
        return cost


@dataclass(frozen=True, slots=True)
class PgRestore:
    """pg_restore of one dump into a new database."""

    cluster: Cluster
    path: Path
    options: tuple[str, ...]

    def restore(self) -> Cost:
        """Make the database and fill it; it stops at the first error, as ours does."""
        server = self.cluster.server
        _execute(self.cluster, f"CREATE DATABASE {_TARGET} TEMPLATE template0")
        argv: list[str | Path] = [*POLITE, server.binaries.tool("pg_restore"), "--exit-on-error", *self.options]
        argv += ["-d", server.dsn(dbname=_TARGET), self.path]
        return measured(argv, log=self.cluster.log, server=server.identity.pid)


def _anew(cluster: Cluster, restore: Callable[[], Cost]) -> Callable[[], Cost]:
    def step() -> Cost:
        _execute(cluster, "CHECKPOINT")
        try:
            return restore()
        finally:
            _execute(cluster, f"DROP DATABASE IF EXISTS {_TARGET}")

    return step


def _execute(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.server.dsn(), autocommit=True) as connection:
        connection.execute(statement.encode())
