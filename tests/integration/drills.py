"""A small shop to be drilled, and what its drills say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.model.runs import Job
from bot.postgres.plain import PlainServer
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
