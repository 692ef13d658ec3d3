"""Prove a dump: restore it into an empty scratch server, never production, and hold it to what was counted under its locks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from bot.errors import Failed, PitstopError
from bot.model import amounts
from bot.model.backups import BackupSummary
from bot.model.drills import Counts, Point, Proof, Question, TableName, hidden_rows, judge_equal, judge_expected
from bot.model.dumps import partial_of
from bot.postgres.archive_choice import Choice, everything, lacking_schemas
from bot.postgres.archive_toc import read_toc
from bot.postgres.binaries import find, find_client
from bot.postgres.globals_script import run_globals
from bot.postgres.isolated import IsolatedServer
from bot.postgres.look import looking
from bot.postgres.new_scratch import restore_archive, start_empty
from bot.postgres.recovery import supervise
from bot.repository.manifest import Manifest
from jobs.accounts import copy_account
from jobs.drill.examine import Examination, bounds_of
from jobs.drill.history import History, recorded_counts
from jobs.drill.objects import read_manifest
from jobs.drill.scratch import room_needed, scratch
from jobs.drill.work import Answers, Drill

_QUICK_S = 60.0
_SECURED = (
    b"SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    b" WHERE c.relrowsecurity AND c.relkind IN ('r', 'p')"
)


@dataclass(frozen=True)
class Dump:
    """A dump as it is read: what is known of it, and its archives by name."""

    manifest: Manifest
    read: Callable[[str], Iterator[bytes]]


def stored(drill: Drill, backup: BackupSummary) -> Dump:
    """Return a dump of the repository.

    Raises:
        Corruption: its manifest is not the one its summary speaks of, or damaged.
    """
    manifest = read_manifest(drill, backup)
    return Dump(manifest, lambda name: drill.holdings.places[backup.id].read_archive(manifest, name))


def prove_dump(drill: Drill, dump: Dump, history: History, base: Proof | None, answers: Answers) -> None:
    """Restore `dump` and answer the checklist. `base` is what the base backup of the same drill held. Slow.

    Raises:
        Cancelled: the run was asked to stop.
        Corruption: an object is damaged or missing.
        Refused: too little disk. Unavailable, Failed: it could not be done here.
    """
    manifest = dump.manifest
    if manifest.body.get("mode") == "data-only":
        _read_only(drill, dump, answers)
        return
    tables = sum(table.get("bytes", 0) for database in manifest.body["databases"] for table in database["tables"])
    answers.target = {"snapshots": [database.get("snapshot_at") for database in manifest.body["databases"]]}
    with scratch(drill.context, "dump", room_needed(2 * max(tables, manifest.bytes_read), 0)) as folder:
        facts = _facts(manifest)
        began = time.monotonic()
        drill.context.phase("dump: start")
        server = start_empty(
            folder,
            facts=facts,
            binaries=find(manifest.server_version // 10000, extra=drill.config.postgres.bin_directories),
            account=copy_account(drill.config, facts),
        )
        _restore(drill, server, dump, answers)
        answers.whole(manifest)
        answers.seconds, answers.bytes = time.monotonic() - began, manifest.bytes_read
        _examine(drill, server, manifest, history, base, answers)
        server.stop()


def _read_only(drill: Drill, dump: Dump, answers: Answers) -> None:
    """Read a dump that holds rows and no tables to put them into: whether it can be restored is not proved."""
    drill.context.phase("dump: read")
    for archive in dump.manifest.archives:
        for _ in _told(drill, dump, archive.name):
            drill.context.check_cancelled()
    answers.whole(dump.manifest)
    answers.say(Question.RESTORED, None, "it holds rows and no tables: there is nothing to restore it into")


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Return what is recorded of the server; of a dump that was imported next to nothing is known."""
    recorded = manifest.body.get("server_facts") or {}
    return {"settings": {}, "databases": [], "bootstrap_superuser": "postgres", **recorded}


def _restore(drill: Drill, server: IsolatedServer, dump: Dump, answers: Answers) -> None:
    """Run the globals, then one archive after another, each verified while it is read."""
    context, manifest = drill.context, dump.manifest
    script, told = b"", list[str]()
    if manifest.archive("globals"):
        context.phase("dump: globals")
        script = b"".join(dump.read("globals"))
        with supervise(server) as connection:
            told = run_globals(connection, script)
    failed, options = len(told), list[str]()
    if not script:
        options = ["--no-owner", "--no-privileges"]
        answers.warnings.append("Its roles were never recorded: it was restored without owners and grants.")
    programs = find_client(["pg_restore"], at_least=_tool_major(manifest), extra=drill.config.postgres.bin_directories)
    for database in manifest.body["databases"]:
        context.phase(f"dump: restore {database['name']}")
        pieces = _told(drill, dump, database["archive"])
        chosen, schemas = None, list[str]()
        if not script or partial_of(manifest.body):
            choice, schemas, pieces = _self_contained(pieces)
            chosen = choice.list_file()
            answers.warnings += choice.left_out
        number, errors = restore_archive(
            server,
            database["name"],
            pieces,
            programs=programs,
            options=options,
            chosen=chosen,
            schemas=schemas,
            check=context.check_cancelled,
        )
        failed += number
        told += [f"{database['name']}: {text}" for text in errors]
    if failed:
        more = f" and {failed - 3:,} more" if failed > 3 else ""
        answers.say(Question.RESTORED, False, "; ".join(told[:3]) + more)
    else:
        answers.say(Question.RESTORED, True, amounts.count(len(manifest.body["databases"]), "database"))


def _self_contained(pieces: Iterator[bytes]) -> tuple[Choice, list[str], Iterator[bytes]]:
    """Return what of an archive of a part can be restored by itself, the schemas it lacks, and the archive from its beginning."""
    seen = list[bytes]()

    def head() -> Iterator[bytes]:
        for piece in pieces:
            seen.append(piece)
            yield piece

    toc = read_toc(head())
    return everything(toc), lacking_schemas(toc), itertools.chain(seen, pieces)


def _told(drill: Drill, dump: Dump, name: str) -> Iterator[bytes]:
    """Yield an archive, and say how far it is."""
    archive = dump.manifest.archive(name)
    total, done = archive.bytes_read if archive else 0, 0
    for piece in dump.read(name):
        done += len(piece)
        drill.context.progress(min(done, total), total)
        yield piece


def _examine(
    drill: Drill,
    server: IsolatedServer,
    manifest: Manifest,
    history: History,
    base: Proof | None,
    answers: Answers,
) -> None:
    look = Examination(drill, server, answers, "dump")
    look.latest({})
    counts = look.count()
    recorded = recorded_counts(manifest)
    look.tables(counts, history.tables, recorded)
    answers.add(judge_equal(_of(manifest, counts), recorded))
    answers.add(judge_expected(_of(manifest, counts), history.baselines, bounds_of(drill)))
    answers.add(*_hidden(drill, server, manifest, counts, base))
    answers.add(*_large_objects(drill, server, manifest))
    look.keys()
    look.indexes(deep=False)
    look.checks()
    if not server.running:
        raise Failed("The scratch server died while it was looked at.", code="server-gone")


def _of(manifest: Manifest, counts: Counts) -> Counts:
    """Keep the counts of the databases that are in the dump."""
    names = {database["name"] for database in manifest.body["databases"]}
    return {table: rows for table, rows in counts.items() if table.database in names}


def _hidden(
    drill: Drill, server: IsolatedServer, manifest: Manifest, counts: Counts, base: Proof | None
) -> list[Point]:
    """Hold tables with row-level security to the cluster's own files, which hide nothing."""
    if base is None:
        return []
    secured = {
        TableName(database["name"], str(schema), str(name))
        for database in manifest.body["databases"]
        for schema, name in _asked(drill, server, database["name"], _SECURED)
    }
    hidden = hidden_rows(counts, base.counts, secured)
    return [Point(Question.ROWS, False, text) for text in hidden[:5]]


def _large_objects(drill: Drill, server: IsolatedServer, manifest: Manifest) -> list[Point]:
    wrong = []
    for database in manifest.body["databases"]:
        recorded = database.get("large_objects")
        if recorded is not None:
            rows = _asked(drill, server, database["name"], b"SELECT count(*) FROM pg_largeobject_metadata")
            found = rows[0][0] if rows else None
            if found != recorded:
                wrong.append(f"{database['name']} has {found} large objects instead of {recorded:,}")
    return [Point(Question.ROWS, False, text) for text in wrong]


def _asked(drill: Drill, server: IsolatedServer, database: str, sql: bytes) -> list[tuple[Any, ...]]:
    try:
        with looking(server, database, timeout_s=_QUICK_S, cancelled=drill.context.cancelled) as connection:
            return connection.execute(sql).fetchall()
    except (psycopg.Error, PitstopError):
        return []  # a database that was not restored is an answer of its own


def _tool_major(manifest: Manifest) -> int:
    tool = manifest.body.get("tools", {}).get("version_num")
    return max(int(tool or 0) // 10000, manifest.server_version // 10000)
