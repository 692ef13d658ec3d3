"""What benchmarks stand on: a folder of their own, clusters of a chosen size, and an installation of Pitstop for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bot.host.accounts import Account, server_account
from bot.postgres.binaries import find
from bot.postgres.plain import PlainServer, initdb
from tests.benchmarks.data import fill
from tests.benchmarks.orphans import adopting
from tests.jobs import Installation, install
from tests.recoveries import RIGHTS

MAJOR = 15
"""Debian's, which Debian's pgBackRest knows."""
_BUILDING = {"fsync": "off", "wal_level": "minimal", "max_wal_senders": "0", "maintenance_work_mem": "256MB"}
_MEASURED = {"fsync": "on", "wal_level": "replica", "max_wal_senders": "10"}
_COMMON = {"shared_buffers": "256MB", "max_wal_size": "8GB", "autovacuum": "off", "checkpoint_timeout": "1h"}


@dataclass(frozen=True, slots=True)
class Options:
    """How much to do. `size_mb` and `runs` None leave it to the benchmark; `quick` is for trying it out."""

    quick: bool = False
    size_mb: int | None = None
    runs: int | None = None

    def size(self, full: int, quick: int = 150) -> int:
        """Return the size of the big cluster, in MB."""
        return self.size_mb or (quick if self.quick else full)

    def repeats(self, full: int, quick: int = 2) -> int:
        """Return how often to measure."""
        return self.runs or (quick if self.quick else full)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A filled, running server, and Pitstop installed beside it."""

    size_mb: int
    home: Path
    server: PlainServer
    installation: Installation

    @property
    def log(self) -> Path:
        """Where measured commands say what they have to say."""
        return self.home / "commands.log"

    @property
    def bytes(self) -> int:
        """The size of the data directory without its WAL, which no backup copies."""
        argv = ["du", "-sb", "--exclude=pg_wal", str(self.server.data_directory)]
        said = subprocess.run(argv, capture_output=True, text=True, check=True)
        return int(said.stdout.split()[0])


@dataclass
class Ground:
    """A temporary folder and the clusters in it, each made once; everything goes at the end."""

    root: Path
    account: Account
    cleanup: ExitStack
    clusters: dict[str, Cluster] = field(default_factory=dict)

    def cluster(self, size_mb: int) -> Cluster:
        """Return a cluster of about `size_mb` that nobody writes to, made the first time it is asked for."""
        return self.cluster_of_its_own(f"{size_mb}mb", size_mb, {})

    def cluster_of_its_own(
        self, name: str, size_mb: int, settings: Mapping[str, str], *, first_segment: str = ""
    ) -> Cluster:
        """Return a cluster with further settings for a benchmark that changes it, made the first time it is asked for.

        `first_segment` is the name of a segment its WAL is moved on to.
        """
        if name not in self.clusters:
            self.clusters[name] = self._make(name, size_mb, settings, first_segment)
        return self.clusters[name]

    def _make(self, name: str, size_mb: int, settings: Mapping[str, str], first_segment: str) -> Cluster:
        home = self.root / name
        home.mkdir(mode=0o755)
        socket_dir = home / "socket"
        socket_dir.mkdir(mode=0o700)
        self.own(socket_dir)
        binaries, data = find(MAJOR), home / "data"
        initdb(binaries, data, self.account, options=["--data-checksums"])
        log = home / "server.log"

        def start(settings: dict[str, str]) -> PlainServer:
            return PlainServer.start(
                binaries, data, self.account, socket_dir=socket_dir, settings={**_COMMON, **settings}, log=log
            )

        with start(_BUILDING) as building:
            fill(building.dsn(), size_mb)
        if first_segment:
            self._move_on(data, first_segment)
        server = start({**_MEASURED, **settings})
        self.cleanup.callback(server.stop, "immediate")
        return Cluster(size_mb, home, server, install(home / "pitstop", server, RIGHTS))

    def _move_on(self, data: Path, segment: str) -> None:
        """Let the WAL of a stopped server go on at a later segment."""
        other = None if self.account.is_current else self.account
        subprocess.run(
            [find(MAJOR).tool("pg_resetwal"), "-l", segment, "-D", data], check=True, capture_output=True, cwd="/",
            user=other.uid if other else None, group=other.gid if other else None,
        )  # fmt: skip

    def own(self, folder: Path) -> None:
        """Give a folder to the account that servers run as."""
        if not self.account.is_current:
            os.chown(folder, self.account.uid, self.account.gid)


@contextmanager
def ground() -> Iterator[Ground]:
    """Yield a ground; servers are stopped and everything is deleted when the block ends, however it ends."""
    with ExitStack() as cleanup:
        root = Path(tempfile.mkdtemp(prefix="pitstop-bench-"))
        cleanup.callback(shutil.rmtree, root, ignore_errors=True)
        root.chmod(0o755)
        cleanup.enter_context(adopting())
        yield Ground(root, server_account(), cleanup)


def start_alike(*leftovers: Path) -> None:
    """Delete what an earlier run left and write everything cached to disk, so that each run starts alike."""
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
    os.sync()


def stored_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
