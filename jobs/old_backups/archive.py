"""An old backup opened: its table of contents, what a manifest says of it, and its bytes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.errors import Corruption
from bot.model.old_backups import OldBackup
from bot.postgres.archive_toc import Toc, read_toc
from bot.repository.old_backups import open_old, read_passphrase
from jobs.context import JobContext
from jobs.old_backups.files import settings_of

_VERSION = re.compile(r"(\d+)(?:\.(\d+))?")
_NOT_COUNTED = "nobody counted its rows"


@dataclass(frozen=True)
class Opened:
    """An old backup as it is read: `pieces` are the whole archive, once; `body` is what a manifest says of it."""

    old: OldBackup
    toc: Toc
    pieces: Iterator[bytes]
    made_at: datetime

    @property
    def body(self) -> dict[str, Any]:
        """What a manifest says of it, as docs/dumps.md describes it."""
        return _body(self.toc, self.old, self.made_at)

    @property
    def server_version(self) -> int:
        """The version of the server it is of."""
        return _version(self.toc.server)


def open_archive(context: JobContext, old: OldBackup) -> Opened:
    """Open an old backup of the run's cluster and read its contents.

    Raises:
        Usage: `wrong-passphrase`, `no-passphrase`, `plain-sql`. Corruption: it is cut or damaged.
    """
    settings = settings_of(context.config, context.run.cluster)
    passphrase = read_passphrase(settings.passphrase_file) if settings.passphrase_file else None
    toc, pieces = _opened(old.path, passphrase)
    return Opened(old, toc, pieces, _made_at(context, toc, old))


def _opened(path: Path, passphrase: bytes | None) -> tuple[Toc, Iterator[bytes]]:
    """Read an archive's table of contents and return it with the whole archive, from its first byte on."""
    stream = open_old(path, passphrase)
    seen = list[bytes]()

    def kept() -> Iterator[bytes]:
        for piece in stream:
            seen.append(piece)
            yield piece

    try:
        toc = read_toc(kept())
    except Corruption as error:
        if error.reason_code != "archive-damaged":
            raise
        raise Corruption(f"The old backup {path.name} cannot be used. {error.message}", hint=error.hint) from None
    return toc, itertools.chain(seen, stream)


def _made_at(context: JobContext, toc: Toc, old: OldBackup) -> datetime:
    """Return when pg_dump made it, by the cluster's clock; the archive says so, in the local time of whoever made it."""
    zone = ZoneInfo(context.config.cluster(context.run.cluster).timezone)
    made = toc.made.replace(tzinfo=zone).astimezone(UTC) if toc.made else old.changed_at
    return min(made, context.now())


def _body(toc: Toc, old: OldBackup, made_at: datetime) -> dict[str, Any]:
    """Return what is known of an archive; what nobody recorded is left empty and said."""
    rows = toc.kind("TABLE DATA")
    definitions = toc.kind("TABLE")
    mode = "full" if rows and definitions else "schema-only" if definitions else "data-only"
    tables = [
        {"schema": e.schema, "name": e.tag, "kind": "table", "rows": None, "bytes": 0, "note": _NOT_COUNTED}
        for e in (rows or definitions)
    ]
    version = _version(toc.tool)
    return {
        "server_facts": {},
        "mode": mode,
        "selection": {"tables": [], "exclude_tables": []},
        "tools": {"version": toc.tool.split()[0], "version_num": version},
        "globals": {"archive": "globals", "passwords": False},
        "databases": [
            {
                "name": toc.database,
                "archive": "db-0",
                "format": "custom",
                "options": [],
                "encoding": "UTF8",
                "lsn": None,
                "snapshot_at": made_at.isoformat(),
                "tables": tables,
                "sequences": [],
                "large_objects": None,
                "warnings": [],
            }
        ],
        "warnings": [
            f"Made by an older script ({old.path.name}): its roles and the counts of its rows were never recorded."
        ],
    }


def _version(text: str) -> int:
    found = _VERSION.match(text)
    return int(found[1]) * 10000 + int(found[2] or 0) if found else 0
