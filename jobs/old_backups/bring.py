"""The IMPORT job: old backups become dumps of the repository, like any other."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from bot.errors import Corruption, Usage
from bot.model.ids import SystemId, backup_id
from bot.model.old_backups import OldBackup
from bot.model.wal import Lsn
from bot.postgres.server_facts import server_facts
from bot.repository.cluster import ClusterRepository
from jobs.catalogue import publish_catalogue
from jobs.context import JobContext
from jobs.old_backups.archive import open_archive
from jobs.old_backups.files import imported_files, list_old, named, settings_of
from jobs.repositories import newest_system, open_for_reading, open_for_writing, repository_name


def run(context: JobContext) -> dict[str, Any]:
    """Import the run's `file`, or with `all` every old backup that was not imported yet, oldest first.

    An import reads the whole file, with every check that gzip and the padding allow, and writes it as a dump whose id says
    when pg_dump made it. It is pinned, so that retention does not remove at once what was wanted. The file stays.

    {"imported": [{"file", "id", "database", "tables", "bytes_read", "bytes_stored"}], "skipped": [file], "refused":
    [{"file", "code", "message", "hint"}], "seconds"}

    Raises:
        Usage: `unknown-file`, `wrong-passphrase`, `plain-sql`, `no-old-backups`; Corruption: the one file named is cut or damaged.
    """
    began = time.monotonic()
    context.phase("prepare")
    settings_of(context.config, context.run.cluster)
    name = repository_name(context)
    repository = _repository(context, name)
    files = list_old(context.config.cluster(context.run.cluster), imported_files(repository, repository.backups()))
    wanted = files if context.run.args.get("all") else [named(files, str(context.run.args.get("file", "")))]
    made, refused = list[dict[str, Any]](), list[dict[str, Any]]()
    for old in wanted:
        if old.imported:
            continue
        try:
            made.append(_import(context, repository, old))
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


def imported(context: JobContext, name: str) -> str:
    """Return the id of the dump that the old backup of that name became, importing it where it was not yet.

    Raises:
        as `run`.
    """
    settings_of(context.config, context.run.cluster)
    kept_in = repository_name(context)
    repository = _repository(context, kept_in)
    files = list_old(context.config.cluster(context.run.cluster), imported_files(repository, repository.backups()))
    old = named(files, name)
    if old.imported:
        return old.imported
    made = _import(context, repository, old)
    publish_catalogue(context, repository, kept_in)
    return str(made["id"])


def _import(context: JobContext, repository: ClusterRepository, old: OldBackup) -> dict[str, Any]:
    context.phase(f"import {old.path.name}")
    opened = open_archive(context, old)
    made_at = opened.made_at
    backup = backup_id("dump", at=made_at, entropy=os.urandom(2))
    digest, size = hashlib.sha256(), 0
    with repository.begin(backup) as writer:
        writer.archive("globals", tar=False).close()
        archive = writer.archive("db-0", tar=False)
        for piece in opened.pieces:
            context.check_cancelled()
            digest.update(piece)
            archive.write(piece)
            size += len(piece)
            context.progress(min(size, old.bytes), old.bytes)
        archive.close()
        context.check_cancelled()
        summary = writer.commit(
            {
                **opened.body,
                "imported": {"file": old.path.name, "bytes": old.bytes, "archive_sha256": digest.hexdigest()},
            },
            started_at=made_at,
            finished_at=made_at,
            timeline=0,
            start_lsn=Lsn(0),
            end_lsn=Lsn(0),
            server_version=opened.server_version,
        )
    repository.record_event(summary.id, "pinned", at=context.now(), text=f"imported from {old.path.name}")
    return {
        "file": old.path.name,
        "id": summary.id,
        "database": opened.toc.database,
        "tables": len(opened.toc.kind("TABLE DATA")),
        "bytes_read": summary.bytes_read,
        "bytes_stored": summary.bytes_stored,
    }


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
