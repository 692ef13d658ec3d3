"""Backups that scripts made before Pitstop: listed as they lie, and imported into a repository as dumps like any other."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.config import ClusterConfig, Config, OldBackupsConfig
from bot.errors import Corruption, PitstopError, Usage
from bot.model.backups import BackupSummary
from bot.model.ids import ClusterName, SystemId, backup_id
from bot.model.typed import nearest
from bot.model.wal import Lsn
from bot.postgres.archive_toc import Toc, read_toc
from bot.postgres.server_facts import server_facts
from bot.repository.cluster import ClusterRepository
from bot.repository.old_backups import SUFFIXES, open_old, read_passphrase
from jobs.catalogue import publish_catalogue
from jobs.context import JobContext
from jobs.repositories import newest_system, open_for_reading, open_for_writing, repository_name

_VERSION = re.compile(r"(\d+)(?:\.(\d+))?")
_DUMP = "dump"
_NOT_COUNTED = "imported: nobody counted its rows"


@dataclass(frozen=True, slots=True)
class OldBackup:
    """A file as it lies: its size and when it was changed; `imported` is the dump it became, if it did."""

    path: Path
    bytes: int
    changed_at: datetime
    imported: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return {"file", "bytes", "changed_at", "imported"}."""
        return {
            "file": self.path.name,
            "bytes": self.bytes,
            "changed_at": self.changed_at.isoformat(),
            "imported": self.imported,
        }


def list_old(config: ClusterConfig, imported: dict[str, str]) -> list[OldBackup]:
    """Return the files of a cluster's folder of old backups, the oldest first; nothing is opened.

    `imported` are the ids of dumps by the names of the files they came from.

    Raises:
        Usage: the folder cannot be read.
    """
    if config.old_backups is None:
        return []
    folder = config.old_backups.directory
    try:
        found = [path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file()]
        stats = [(path, path.stat()) for path in found]
    except OSError as error:
        raise Usage(
            f"The folder of old backups, {folder}, cannot be read: {error.strerror}.",
            hint="Is old_backups.directory right, and may this user read it?",
            code="no-old-backups",
        ) from None
    listed = [
        OldBackup(path, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC), imported.get(path.name))
        for path, stat in stats
    ]
    return sorted(listed, key=lambda old: (old.changed_at, old.path.name))


def imported_files(repository: ClusterRepository, backups: list[BackupSummary]) -> dict[str, str]:
    """Return the ids of the dumps that were imported, by the names of their files. Reads the dumps' manifests."""
    found = {}
    for backup in backups:
        if backup.kind == _DUMP:
            try:
                name = repository.manifest(backup.id).body.get("imported", {}).get("file")
            except PitstopError:
                continue
            if name:
                found[str(name)] = str(backup.id)
    return found


def old_backups_of(config: Config, cluster: ClusterName) -> list[OldBackup]:
    """Return a cluster's old backups, with what became of them in its first repository.

    Raises:
        Usage: the folder cannot be read.
    """
    settings = config.cluster(cluster)
    if settings.old_backups is None:
        return []
    first = next(iter(config.cluster_repositories(cluster)))
    try:
        repository = open_for_reading(config, first, cluster, newest_system(config, first, cluster))
        known = imported_files(repository, repository.backups())
    except PitstopError:
        known = {}
    return list_old(settings, known)


def run(context: JobContext) -> dict[str, Any]:
    """Import the run's `file`, or with `all` every old backup that was not imported yet, oldest first.

    An import reads the whole file, with every check that gzip and the padding allow, and writes it as a dump whose id says
    when pg_dump made it. It is pinned, so that retention does not remove at once what was wanted. The file stays.

    {"imported": [{"file", "id", "database", "tables", "bytes_read", "bytes_stored"}], "skipped": [file], "refused":
    [{"file", "code", "message", "hint"}], "seconds"}

    Raises:
        Usage: `unknown-file`, `wrong-passphrase`, `no-old-backups`; Corruption: the one file named is cut or damaged.
    """
    began = time.monotonic()
    context.phase("prepare")
    settings = _settings(context)
    name = repository_name(context)
    repository = _repository(context, name)
    files = list_old(context.config.cluster(context.run.cluster), imported_files(repository, repository.backups()))
    wanted = files if context.run.args.get("all") else [_named(files, str(context.run.args.get("file", "")))]
    made, refused = list[dict[str, Any]](), list[dict[str, Any]]()
    for old in wanted:
        if old.imported:
            continue
        try:
            made.append(_import(context, repository, settings, old))
        except (Usage, Corruption) as error:
            if not context.run.args.get("all"):
                raise
            refused.append({"file": old.path.name, **error.as_json()})
    publish_catalogue(context, repository, name)
    return {
        "imported": made,
        "skipped": [old.path.name for old in wanted if old.imported],
        "refused": refused,
        "seconds": round(time.monotonic() - began, 3),
    }


def _import(
    context: JobContext, repository: ClusterRepository, settings: OldBackupsConfig, old: OldBackup
) -> dict[str, Any]:
    context.phase(f"import {old.path.name}")
    passphrase = read_passphrase(settings.passphrase_file) if settings.passphrase_file else None
    toc, pieces = _opened(old.path, passphrase)
    made_at = _made_at(context, toc, old)
    backup = backup_id("dump", at=made_at, entropy=os.urandom(2))
    digest, size = hashlib.sha256(), 0
    with repository.begin(backup) as writer:
        writer.archive("globals", tar=False).close()
        archive = writer.archive("db-0", tar=False)
        for piece in pieces:
            context.check_cancelled()
            digest.update(piece)
            archive.write(piece)
            size += len(piece)
            context.progress(min(size, old.bytes), old.bytes)
        archive.close()
        context.check_cancelled()
        summary = writer.commit(
            _body(toc, old, made_at, digest.hexdigest()),
            started_at=made_at,
            finished_at=made_at,
            timeline=0,
            start_lsn=Lsn(0),
            end_lsn=Lsn(0),
            server_version=_version(toc.server),
        )
    repository.record_event(summary.id, "pinned", at=context.now(), text=f"imported from {old.path.name}")
    return {
        "file": old.path.name,
        "id": summary.id,
        "database": toc.database,
        "tables": len(toc.kind("TABLE DATA")),
        "bytes_read": summary.bytes_read,
        "bytes_stored": summary.bytes_stored,
    }


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


def _body(toc: Toc, old: OldBackup, made_at: datetime, sha256: str) -> dict[str, Any]:
    """Return the manifest's body, as docs/dumps.md describes it; what nobody recorded is left empty and said."""
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
        "warnings": [f"Imported from {old.path.name}: its roles and the counts of its rows were never recorded."],
        "imported": {"file": old.path.name, "bytes": old.bytes, "archive_sha256": sha256},
    }


def _version(text: str) -> int:
    found = _VERSION.match(text)
    return int(found[1]) * 10000 + int(found[2] or 0) if found else 0


def _settings(context: JobContext) -> OldBackupsConfig:
    settings = context.config.cluster(context.run.cluster).old_backups
    if settings is None:
        raise Usage(
            f"The configuration names no old backups of {context.run.cluster}.",
            hint=f'Add [clusters.{context.run.cluster}.old_backups] with directory = "/backups/daily".',
            code="no-old-backups",
        )
    return settings


def _named(files: list[OldBackup], wanted: str) -> OldBackup:
    for old in files:
        if wanted in {old.path.name, str(old.path)}:
            return old
    near = nearest(Path(wanted).name, [old.path.name for old in files])
    raise Usage(
        f"There is no old backup {Path(wanted).name!r} in the configured folder.",
        hint=f"Did you mean {near}?" if near else f"It ends with one of {', '.join(SUFFIXES)}.",
        code="unknown-file",
    )


def _repository(context: JobContext, name: str) -> ClusterRepository:
    """Open the repository that the import is written to; where it holds nothing yet, the live server says whose history begins."""
    config, cluster = context.config, context.run.cluster
    try:
        return open_for_reading(config, name, cluster, newest_system(config, name, cluster))
    except Usage as error:
        if error.reason_code not in {"no-backup", "repository-missing"}:
            raise
    facts = server_facts(config.cluster(cluster).observe, None)
    system = SystemId(facts.system_id)
    return open_for_writing(config, context.ledger, name, cluster, system, facts.segment_bytes)
