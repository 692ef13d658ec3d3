"""A small shop to be drilled, and what its drills say."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.model.ids import backup_id
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.postgres.plain import PlainServer
from bot.postgres.server_facts import server_facts
from tests.integration.backups import environment
from tests.jobs import Installation, install
from tests.servers import execute

SHOP = (
    'CREATE TABLE "Users" (id int PRIMARY KEY, name text UNIQUE)',
    'CREATE TABLE "Orders" (id int PRIMARY KEY, "user" int NOT NULL REFERENCES "Users", placed timestamptz DEFAULT now())',
    "INSERT INTO \"Users\" SELECT n, 'user ' || n FROM generate_series(1, 400) n",
    'INSERT INTO "Orders" SELECT n, n % 400 + 1 FROM generate_series(1, 1500) n',
)


def shop(home: Path, server: PlainServer, extra: Mapping[str, str] | None = None) -> Installation:
    """Fill the server with the shop, and install Pitstop for it."""
    for statement in SHOP:
        execute(server, statement)
    top = f'[restore]\ndirectory = "{home}/restores"'
    return install(home, server, {"databases": '["postgres"]', **(extra or {})}, top=top)


def drilled(here: Installation, **args: Any) -> dict[str, Any]:
    """Drill here and return the result."""
    return here.run(Job.DRILL, **args)


def points(proof: dict[str, Any]) -> dict[str, tuple[bool | None, str]]:
    """Return a proof's answers by question."""
    return {point["name"]: (point["ok"], point["detail"]) for point in proof["points"]}


def noes(proof: dict[str, Any]) -> dict[str, str]:
    """Return what was answered with no."""
    return {name: detail for name, (ok, detail) in points(proof).items() if ok is False}


def left_behind(here: Installation) -> list[str]:
    """Return what drills left in the restores' folder."""
    folder = here.config.restore.directory
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def plant_dump(here: Installation, server: PlainServer, archive: bytes, counts: Mapping[str, int]) -> str:
    """Put a dump of `postgres` into the repository as nobody careful would have taken it; return its id.

    `counts` are the rows recorded for each table.
    """
    repository, at = here.repository(), datetime.now(UTC)
    backup = backup_id("dump", at=at, entropy=os.urandom(2))
    facts = server_facts(server.dsn(), None)
    tables = [
        {"schema": "public", "name": name, "kind": "table", "rows": rows, "bytes": 8192, "note": ""}
        for name, rows in counts.items()
    ]
    database = {"name": "postgres", "archive": "db-0", "format": "custom", "tables": tables, "large_objects": None}
    with repository.begin(backup) as writer:
        stored = writer.archive("db-0", tar=False)
        stored.write(archive)
        stored.close()
        writer.commit(
            {"server_facts": facts.as_json(), "mode": "full", "selection": {}, "databases": [database], "warnings": []},
            started_at=at,
            finished_at=datetime.now(UTC),
            timeline=1,
            start_lsn=Lsn(1),
            end_lsn=Lsn(1),
            server_version=facts.version_num,
        )
    return backup


def pg_dump(server: PlainServer, *options: str, user: str = "postgres") -> bytes:
    """Return what the server's own pg_dump writes of `postgres` in the custom format."""
    tool = server.binaries.tool("pg_dump")
    argv = [str(tool), "--format=custom", *options, "--dbname", server.dsn(user=user)]
    return subprocess.run(argv, capture_output=True, check=True, env=environment()).stdout


def flip(path: Path, offset: int | None = None) -> None:
    """Flip one bit of a stored file, in its middle unless told where."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset is None else offset] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))
