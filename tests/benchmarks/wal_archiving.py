"""WAL archiving: a backlog of segments brought into an encrypted, compressed repository, by each side's own way.

Pitstop's receiver streams and ships; pgBackRest is the server's archive_command, synchronous and asynchronous; Barman's receiver
streams, and `archive-wal`, which its cron starts, compresses and encrypts. The clock stops when the last
segment is in the repository.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.model.runs import Job
from jobs.wal.slots import slot_names
from tests.benchmarks import barman
from tests.benchmarks.backlog import Backlog, backlog, wait_until
from tests.benchmarks.barman import Barman
from tests.benchmarks.ground import Ground, Options, start_alike
from tests.benchmarks.installing import Missing
from tests.benchmarks.measuring import Cost, Running, server_cpu, settled_server_cpu
from tests.benchmarks.orphans import reaped
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.peers import installed_pgbackrest
from tests.benchmarks.pgbackrest import POLITE, PgBackRest
from tests.benchmarks.summary import Headline, Report, spread
from tests.benchmarks.turns import OURS, Turns, take_turns
from tests.jobs import CLUSTER, install
from tests.recoveries import RIGHTS

ABOUT = "a backlog of WAL archived, beside pgBackRest (both ways) and Barman: wall and CPU for a segment"
NEEDS = ("PostgreSQL 15", "pgBackRest", "Barman")
_LEFT_OUT = (
    "Left out: barman-wal-archive, which copies over ssh, and barman-cloud-wal-archive, which wants a cloud store."
)


def run(ground: Ground, options: Options) -> Report:
    """Make the backlog, and bring it into an empty repository in turns."""
    segments, runs = 8 if options.quick else 64, options.repeats(7)
    waiting = backlog(ground, segments)
    steps: dict[str, Callable[[], Cost]] = {OURS: _Ours(waiting).catch_up}
    others, left_out = installed_pgbackrest(ground, waiting.cluster)
    for peer in others:
        steps[f"{peer.name}, asynchronous"] = _ArchiveCommand(waiting, peer, "--archive-async").catch_up
        steps[f"{peer.name}, synchronous"] = _ArchiveCommand(waiting, peer).catch_up
    try:
        programs = barman.ensure_installed(ground)
        one = Barman(f"Barman {barman.version(programs)}", waiting.cluster, programs)
        one.set_up()
        steps[one.name] = _Barman(waiting, one).catch_up
    except Missing as error:
        left_out.append(f"Barman is left out: {error}.")
    turns = take_turns(runs, steps)
    return Report(
        name="wal-archiving",
        conditions=f"{segments} segments of 16 MiB that wait, {runs} runs each, in turns",
        headers=(
            "",
            "wall s",
            "CPU s",
            "of it the server's",
            "wall ms a segment",
            "CPU ms a segment",
            "MB/s",
            "Pitstop's wall : its",
            "Pitstop's CPU : its",
        ),
        rows=_rows(turns, segments, waiting.bytes),
        data={"segments": segments, **turns.as_json()},
        notes=[*left_out, _LEFT_OUT],
        headlines=[
            Headline(f"WAL, {segments} segments", peer, turns.wall_ratio(peer).text(), turns.cpu_ratio(peer).text())
            for peer in turns.peers
        ],
    )


@dataclass(frozen=True, slots=True)
class _Ours:
    """The receiver's job, in an installation that knows nothing yet."""

    waiting: Backlog

    def catch_up(self) -> Cost:
        """Start the receiver, wait until the repository has everything, and end it."""
        cluster = self.waiting.cluster
        start_alike(cluster.installation.home)
        here = install(cluster.installation.home, cluster.server, RIGHTS)
        names = slot_names(CLUSTER)
        for slot in (names.stream, names.durable):
            self.waiting.slot(slot)
        run = here.queue(Job.WAL_STREAM)
        before = server_cpu(cluster.server.identity.pid)
        with Running(Pitstop(cluster).argv(run.id), log=cluster.log) as receiver:
            wait_until(lambda: _ended(receiver) or self._stored())
            wall_s = time.monotonic() - receiver.began
            used = receiver.end()
        return _cost(self.waiting, wall_s, used, before, receiver.peak_bytes)

    def _stored(self) -> bool:
        folders = (self.waiting.cluster.installation.home / "repository").glob("*/*/wal/*")
        return set(self.waiting.names) <= {path.name for folder in folders for path in folder.iterdir()}


@dataclass(frozen=True, slots=True)
class _ArchiveCommand:
    """pgBackRest as the server's archive_command."""

    waiting: Backlog
    peer: PgBackRest
    options: str = ""

    def catch_up(self) -> Cost:
        """Let the server archive into an empty repository."""
        self.peer.set_up()
        before = server_cpu(self.waiting.cluster.server.identity.pid)
        began = time.monotonic()
        with self.waiting.archiving(" ".join([*POLITE, *self.peer.argv("archive-push", *self.options.split()), "%p"])):
            wait_until(self.waiting.archived)
            wall_s = time.monotonic() - began
        # The asynchronous one leaves the server's process tree.
        return _cost(self.waiting, wall_s, reaped("pgbackrest", 10), before, 0)


@dataclass(frozen=True, slots=True)
class _Barman:
    """Barman's receiver, and its archiver as soon as there is something to archive."""

    waiting: Backlog
    peer: Barman

    def catch_up(self) -> Cost:
        """Receive and archive into an empty repository."""
        cluster = self.waiting.cluster
        shutil.rmtree(self.peer.repository, ignore_errors=True)
        self.waiting.slot(barman.SLOT)
        before, used = server_cpu(cluster.server.identity.pid), 0.0
        with self.peer.receiving() as receiver:
            while not self._stored():
                wait_until(lambda: _ended(receiver) or self._received())
                with Running(self.peer.argv("archive-wal"), log=cluster.log, env=self.peer.environment()) as archiver:
                    used += archiver.wait(900)
            wall_s = time.monotonic() - receiver.began
            used += receiver.interrupt()
        return _cost(self.waiting, wall_s, used, before, receiver.peak_bytes)

    def _received(self) -> bool:
        return any(path.name in self.waiting.names for path in (self.peer.repository / "streaming").glob("0*"))

    def _stored(self) -> bool:
        return set(self.waiting.names) <= {path.name for path in (self.peer.repository / "wals").glob("*/0*")}


def _ended(running: Running) -> bool:
    if not running.alive():
        running.wait(1)
        raise RuntimeError("it ended before everything was archived")
    return False


def _cost(waiting: Backlog, wall_s: float, used: float, before: float, peak_bytes: int) -> Cost:
    server_used = settled_server_cpu(waiting.cluster.server.identity.pid) - before
    return Cost(wall_s, used + server_used, server_used, peak_bytes)


def _rows(turns: Turns, segments: int, size: int) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, wall, cpu, server, _, wall_ratio, cpu_ratio in turns.rows():
        costs = turns.costs[name]
        each = (
            spread([cost.wall_s / segments * 1000 for cost in costs]).text(0),
            spread([cost.cpu_s / segments * 1000 for cost in costs]).text(0),
            spread([size / 1e6 / cost.wall_s for cost in costs]).text(0),
        )
        rows.append((name, wall, cpu, server, *each, wall_ratio, cpu_ratio))
    return rows
