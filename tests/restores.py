"""A restore in small, for tests of isolated servers: pg_basebackup's files, and WAL read from the live server's own folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.host.accounts import Account
from bot.model.targets import ResolvedTarget
from bot.model.wal import DEFAULT_SEGMENT_BYTES, Lsn, parse_segment_name, segment_number
from bot.postgres.isolated import IsolatedServer, prepare, system_python
from bot.postgres.isolated_folder import ServerFolder
from bot.postgres.isolated_settings import RecoverySettings
from bot.postgres.plain import PlainServer
from bot.postgres.wal_service import WalService
from tests.servers import execute

KEEP_WAL = {"wal_keep_size": "1GB", "wal_level": "replica"}


@dataclass
class SmallBackup:
    """A base backup of `source` unpacked into a claimed folder, and what a manifest would say about the server."""

    source: PlainServer
    folder: ServerFolder
    facts: dict[str, Any]
    end_lsn: Lsn
    served: list[str] = field(default_factory=list)

    def fetch(self, name: str, target: ResolvedTarget) -> bytes | None:
        """Read WAL as the executor would serve it: up to the target where no record starts there, everything else whole."""
        self.served.append(name)
        path = self.source.data_directory / "pg_wal" / name
        if not path.exists():
            return None
        data = path.read_bytes()
        if name.endswith(".history") or target.record_exists:
            return data
        _, number = parse_segment_name(name)
        last = segment_number(Lsn(target.lsn - 1))
        if number > last:
            return None
        keep = target.lsn - number * DEFAULT_SEGMENT_BYTES if number == last else len(data)
        return data[:keep] + bytes(len(data) - keep)

    @contextmanager
    def prepared(self, target: ResolvedTarget, account: Account) -> Iterator[tuple[IsolatedServer, WalService]]:
        """Prepare a server that recovers to `target`; it is stopped and removed afterwards."""
        service = WalService(
            self.folder.socket_dir(account), lambda name: self.fetch(name, target),
            segment_bytes=DEFAULT_SEGMENT_BYTES, python=system_python(),
        )  # fmt: skip
        with service:
            server = prepare(
                self.folder,
                facts=self.facts,
                binaries=self.source.binaries,
                account=account,
                recovery=RecoverySettings(target, service.restore_command),
            )
            try:
                yield server, service
            finally:
                server.remove()


def take_small_backup(source: PlainServer, directory: Path) -> SmallBackup:
    """Copy `source` with its own pg_basebackup into a new claimed folder; tablespaces go to private folders."""
    folder = ServerFolder.claim(directory)
    places = {int(str(oid)): str(place) for oid, place in execute(source, _TABLESPACES)}
    argv: list[str | Path] = [
        source.binaries.tool("pg_basebackup"), "-D", folder.data, "-d", source.dsn(), "-X", "none", "-c", "fast",
    ]  # fmt: skip
    for oid, place in places.items():
        argv += ["-T", f"{place}={folder.tablespace(oid)}"]
    subprocess.run(argv, check=True, capture_output=True)
    label = (folder.data / "backup_label").read_text("utf-8")
    assert "START WAL LOCATION" in label
    end = Lsn.parse(str(execute(source, "SELECT pg_current_wal_insert_lsn()")[0][0]))
    settings = {str(n): str(v) for n, v in execute(source, "SELECT name, current_setting(name) FROM pg_settings")}
    facts = {"settings": settings, "bootstrap_superuser": "postgres", "databases": []}
    return SmallBackup(source, folder, facts, end)


def at_end(source: PlainServer) -> ResolvedTarget:
    """Return the target `latest`: the end of the last record flushed, where none starts yet."""
    lsn = Lsn.parse(str(execute(source, "SELECT pg_current_wal_flush_lsn()")[0][0]))
    return ResolvedTarget(timeline=1, lsn=lsn, record_exists=False)


def insert_position(source: PlainServer) -> Lsn:
    """Return where the next record will be written."""
    return Lsn.parse(str(execute(source, "SELECT pg_current_wal_insert_lsn()")[0][0]))


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return every file below `folder` with inode, size and modification time: what "untouched" is compared by."""
    found = {}
    for place, _, files in os.walk(folder):
        for name in files:
            path = Path(place, name)
            stat = path.lstat()
            found[str(path.relative_to(folder))] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


_TABLESPACES = "SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> ''"
