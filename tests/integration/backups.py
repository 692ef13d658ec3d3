"""Restoring without any of Pitstop's restore code: the stand-alone script, tar, and PostgreSQL's own tools."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.model.wal import history_name, segment_name
from bot.postgres.plain import PlainServer
from bot.repository.manifest import Manifest
from tests.jobs import CLUSTER, Installation
from tests.servers import FAST
from tests.stand_alone import SCRIPT


def decrypt(here: Installation, *words: str, key: Path | None = None) -> bytes:
    """Run the stand-alone script on the installation's repository, with its key file or another key; return what it wrote."""
    argv = [sys.executable, "-I", str(SCRIPT), str(key or here.home / "key"), str(here.home / "repository"), *words]
    return subprocess.run(argv, capture_output=True, check=True).stdout


def unpack(here: Installation, server: PlainServer, manifest: Manifest, home: Path, *, key: Path | None = None) -> Path:
    """Restore a backup into `home`/data with the script and tar, tablespaces beside it, WAL into pg_wal; return that folder."""
    place = f"{CLUSTER}/{manifest.system_id}/backups/{manifest.id}"
    decrypt(here, "extract", place, str(home / "out"), key=key)
    data = home / "data"
    places = {"base": data}
    spaces = []
    for archive in manifest.archives:
        if archive.tablespace:
            places[archive.name] = home / archive.name
            spaces.append(f"{archive.tablespace} {home / archive.name}\n")
    for name, folder in places.items():
        folder.mkdir(mode=0o700)
        subprocess.run(["tar", "-xpf", str(home / "out" / f"{name}.tar"), "-C", str(folder)], check=True)
    if spaces:
        (data / "tablespace_map").write_text("".join(spaces))
    (data / "backup_manifest").write_bytes((home / "out/backup_manifest").read_bytes())
    for name, folder in places.items():
        if name != "base":
            link = data / "pg_tblspc" / name
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
    put_wal(here, manifest, data)
    own(server, home)
    return data


def put_wal(here: Installation, manifest: Manifest, data: Path) -> None:
    """Put all WAL that is stored into a data directory, partial segments filled up with zeros."""
    archive = here.repository().wal
    inventory = archive.inventory()
    for timeline, numbers in inventory.segments.items():
        for number in numbers:
            content = archive.read_segment(timeline, number)
            assert content is not None
            (data / "pg_wal" / segment_name(timeline, number, archive.segment_bytes)).write_bytes(content)
    for timeline, number in inventory.partial_ends:
        pieces = archive.read_pieces(timeline, number)
        assert pieces is not None
        name = segment_name(timeline, number, archive.segment_bytes)
        (data / "pg_wal" / name).write_bytes(pieces.ljust(archive.segment_bytes, b"\0"))
    for timeline, text in archive.histories().items():
        (data / "pg_wal" / history_name(timeline)).write_bytes(text)


def own(server: PlainServer, folder: Path) -> None:
    """Give a restored folder to the server's account."""
    if not server.account.is_current:
        subprocess.run(["chown", "-R", f"{server.account.uid}:{server.account.gid}", str(folder)], check=True)


def verify_files(server: PlainServer, data: Path) -> None:
    """Hold a restored directory to PostgreSQL's own manifest with the server's own pg_verifybackup; `unpack` changed one file."""
    tool = server.binaries.tool("pg_verifybackup")
    done = subprocess.run(
        [str(tool), "-n", "-i", "tablespace_map", str(data)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr


def verify_pages(server: PlainServer, dbname: str = "postgres") -> None:
    """Check tables and indexes of a running server with its own pg_amcheck."""
    tool = server.binaries.tool("pg_amcheck")
    argv = [str(tool), "-h", str(server.socket_dir), "-U", "postgres", "--install-missing", "--heapallindexed", dbname]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


def environment() -> dict[str, str]:
    """Return an environment without anything of libpq's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


@contextmanager
def started(source: PlainServer, data: Path, **settings: Any) -> Iterator[PlainServer]:
    """Start a restored directory whose originals are a test's own; recovery ends where its WAL does."""
    (data / "backup_manifest").unlink(missing_ok=True)
    socket = data.parent / "socket"
    socket.mkdir(mode=0o700)
    own(source, socket)
    server = PlainServer.start(
        source.binaries, data, source.account, socket_dir=socket, settings={**FAST, **settings},
        log=data.parent / "server.log",
    )  # fmt: skip
    try:
        yield server
    finally:
        server.stop("immediate")
