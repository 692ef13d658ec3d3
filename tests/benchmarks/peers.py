"""The peers that a cluster's backups are compared with; one that cannot be installed is named, and left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.benchmarks import barman, pgbackrest
from tests.benchmarks.barman import Barman
from tests.benchmarks.ground import Cluster, Ground
from tests.benchmarks.installing import Missing
from tests.benchmarks.measuring import Cost
from tests.benchmarks.pgbackrest import PgBackRest


class Peer(Protocol):
    """Another tool's backups of one cluster, one at a time."""

    @property
    def name(self) -> str:
        """Its name with its version."""
        ...

    @property
    def stored(self) -> int:
        """The bytes of its one backup."""
        ...

    def back_up(self) -> Cost:
        """Take a full backup into an empty repository."""
        ...

    def restore(self, folder: Path) -> Cost:
        """Restore its backup into a folder that is not there; every file is on disk at the end."""
        ...


@dataclass(slots=True)
class Peers:
    """Those that are here, and a sentence for each that is not."""

    pgbackrest: PgBackRest | None = None
    barman: Barman | None = None
    left_out: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[Peer]:
        """Those that are here."""
        return [peer for peer in (self.pgbackrest, self.barman) if peer is not None]


@contextmanager
def peers(ground: Ground, cluster: Cluster) -> Iterator[Peers]:
    """Install what is missing, and keep Barman's WAL receiver running while the block lasts."""
    found = Peers()
    with ExitStack() as stack:
        installed, found.left_out = installed_pgbackrest(ground, cluster)
        found.pgbackrest = next(iter(installed), None)
        try:
            found.barman = _barman(ground, cluster, stack)
        except Missing as error:
            found.left_out.append(f"Barman is left out: {error}.")
        yield found


def installed_pgbackrest(ground: Ground, cluster: Cluster) -> tuple[list[PgBackRest], list[str]]:
    """Return pgBackRest for a cluster, or else a sentence saying that it is left out and why."""
    try:
        return [PgBackRest(pgbackrest.ensure_installed(), cluster, ground.account)], []
    except Missing as error:
        return [], [f"pgBackRest is left out: {error}."]


def _barman(ground: Ground, cluster: Cluster, stack: ExitStack) -> Barman:
    programs = barman.ensure_installed(ground)
    one = Barman(f"Barman {barman.version(programs)}", cluster, programs)
    one.set_up()
    one.create_slot()
    stack.callback(one.drop_slot)
    stack.enter_context(one.receiving())
    one.ready()
    return one
