"""The DUMP job, phase by phase."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from bot.config import ClusterConfig
from bot.model.backups import BackupSummary
from bot.model.dumps import CHOSEN_DATABASES, Selection, Table, partial_of
from bot.model.ids import SystemId, backup_id
from bot.postgres.binaries import Binaries
from bot.postgres.dump_program import dumping_globals, find_tools, finish
from bot.postgres.dump_session import DumpSession
from bot.postgres.dump_snapshot import list_tables
from bot.postgres.server_facts import ServerFacts, server_facts
from bot.repository.backup_writer import BackupWriter
from jobs.context import JobContext
from jobs.dump.database import DatabaseDump, Dumped
from jobs.dump.databases import (
    Database,
    Server,
    look_at_server,
    maintenance_session,
    require_tables,
    session_for,
    vanished,
    wanted_databases,
)
from jobs.dump.fallen import fallen_tables
from jobs.live import announce, being_written
from jobs.places import Places, open_places
from jobs.runbook import renew_runbook

_UNFINISHED_AFTER = timedelta(hours=6)
_LOOK_EVERY_S = 0.5


def run(context: JobContext) -> dict[str, Any]:
    """Dump the run's cluster into its first repository, or the one named in the run's `repository` argument; or into all.

    The run's other arguments are a `Selection`; on schedule there are none, and what is configured counts.

    1. Prepare: find pg_dump, look up databases and tables, open the repository.
    2. Globals: what belongs to no database.
    3. Each database: lock its tables, take a snapshot, dump and count in it.
    4. Finish: the manifest, last.

    Returns {"id", "kind", "cluster", "repository", "repositories", "not_in", "part", "partial", "databases", "bytes_read",
    "bytes_stored", "seconds", "timeline", "start_lsn", "end_lsn", "globals_passwords", "fallen", "warnings"}.
    `fallen` are the tables that lost many rows ([{"table", "sentence"}]); None: it is of a part, of which nobody can tell.

    Raises:
        Usage: a right is missing, or a database or table does not exist; the hint has the line to put right.
        Conflict: a lock stood in the way (`table-locked`), or the dump in somebody's (`dump-yielded`).
        Unavailable: server, repository or pg_dump is away. Failed: pg_dump failed.
    """
    context.phase("prepare")
    return _Dump(context).take()


class _Dump:
    """One dump being taken."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._cluster: ClusterConfig = context.config.cluster(context.run.cluster)
        self._started_at = context.now()
        self._id = backup_id("dump", at=self._started_at, entropy=os.urandom(2))
        self._asked = Selection.from_json(context.run.args)
        self._selection = selection_of(context)
        self._warnings: list[str] = []
        self._fallen: list[dict[str, str]] | None = None

    def take(self) -> dict[str, Any]:
        """Take the dump; see `run`."""
        context = self._context
        server = look_at_server(self._cluster)
        tools = find_tools(server.major, context.config.postgres.bin_directories)
        dumps = self._plan(server, tools)
        facts = server_facts(maintenance_session(self._cluster, server.major).conninfo(), self._cluster.data_directory)
        places = self._open(server, facts)
        announce(context, self._id)
        live = being_written(context.ledger, context.run.cluster)
        before = self._started_at - _UNFINISHED_AFTER
        places.each(lambda repository: repository.delete_unfinished(before, live=live))
        with places.cluster.begin(self._id, workers=self._cluster.workers or None) as writer:
            context.phase("globals")
            self._globals(writer, server, tools)
            dumped = [dump.take(writer, context) for dump in dumps]
            context.phase("finish")
            context.check_cancelled()
            places.agree(self._id)
            if partial_of(self._body(server, tools, facts, dumped)) == "":
                self._fallen = fallen_tables(context, [one.record for one in dumped])
                self._warnings += [one["sentence"] for one in self._fallen]
            body = self._body(server, tools, facts, dumped)
            summary = self._commit(writer, facts, dumped, body)
        places.publish(context)
        renew_runbook(context)
        return self._result(summary, body, places)

    def _plan(self, server: Server, tools: Binaries) -> list[DatabaseDump]:
        databases = wanted_databases(self._cluster, self._selection, server)
        sessions = {database.name: self._session(server, database) for database in databases}
        if self._selection.tables or self._selection.exclude_tables:
            databases = self._narrowed(databases, {name: list_tables(session) for name, session in sessions.items()})
        return [
            DatabaseDump(
                sessions[database.name], database.encoding, f"db-{n}", self._selection, tools, self._cluster.dump
            )
            for n, database in enumerate(databases)
        ]

    def _narrowed(self, databases: list[Database], tables: dict[str, list[Table]]) -> list[Database]:
        """Hold what was named to what there is, and leave out the databases that have none of the chosen tables."""
        selection = self._selection
        if not self._asked.exclude_tables and not self._asked.tables:
            # Only the configuration leaves something out: what is gone since must not stop the nightly dump.
            gone = vanished(selection.exclude_tables, tables)
            self._warnings += [f"{word}, left out by dump.exclude_tables, is in no database." for word in gone]
            return databases
        require_tables(selection, tables)
        return [one for one in databases if not selection.tables or selection.chosen(tables[one.name])]

    def _session(self, server: Server, database: Database) -> DumpSession:
        return session_for(self._cluster, server, database, self._id)

    def _open(self, server: Server, facts: ServerFacts) -> Places:
        return open_places(self._context, SystemId(server.system_id), facts.segment_bytes, major=server.major)

    def _globals(self, writer: BackupWriter, server: Server, tools: Binaries) -> None:
        maintenance = next(database for database in server.databases if database.name == server.maintenance)
        session = self._session(server, maintenance)
        archive = writer.archive("globals", tar=False)
        with dumping_globals(tools, session, passwords=server.superuser) as child:
            while (data := child.read(_LOOK_EVERY_S)) is None or len(data):
                self._context.check_cancelled()
                if data is not None:
                    archive.write(data)
            self._warnings += finish(child, session)
        archive.close()
        if not server.superuser:
            self._warnings.append(f"Roles were dumped without passwords: {server.role} is no superuser.")

    def _body(self, server: Server, tools: Binaries, facts: ServerFacts, dumped: list[Dumped]) -> dict[str, Any]:
        return {
            "server_facts": facts.as_json(),
            "mode": self._selection.part.value,
            "selection": {
                "tables": list(self._selection.tables),
                "exclude_tables": list(self._selection.exclude_tables),
            },
            "tools": {"version": tools.version, "version_num": tools.version_num},
            "globals": {"archive": "globals", "passwords": server.superuser},
            "databases": [one.record for one in dumped],
            "warnings": self._warnings,
            "partial": self._partial(server),
        }

    def _partial(self, server: Server) -> str:
        """Return what of everything was chosen by hand; what the configuration leaves out belongs to no dump."""
        asked = self._asked
        if set(asked.exclude_tables) - set(self._cluster.dump.exclude_tables):
            return "tables left out"
        usual = set(self._cluster.databases) or {one.name for one in server.databases if one.open and not one.template}
        return CHOSEN_DATABASES if asked.databases and usual - set(asked.databases) else ""

    def _commit(
        self, writer: BackupWriter, facts: ServerFacts, dumped: list[Dumped], body: dict[str, Any]
    ) -> BackupSummary:
        return writer.commit(
            body,
            started_at=self._started_at,
            finished_at=self._context.now(),
            timeline=dumped[-1].timeline,
            start_lsn=min(one.lsn for one in dumped),
            end_lsn=max(one.lsn for one in dumped),
            server_version=facts.version_num,
        )

    def _result(self, summary: BackupSummary, body: dict[str, Any], places: Places) -> dict[str, Any]:
        names = list(places.left)
        databases = body["databases"]
        return {
            "id": summary.id,
            "kind": summary.kind,
            "cluster": summary.cluster,
            "repository": names[0],
            "repositories": names,
            "not_in": places.not_in,
            "part": body["mode"],
            "partial": summary.partial,
            "databases": [
                {
                    "name": one["name"],
                    "tables": len(one["tables"]),
                    "rows": sum(table["rows"] or 0 for table in one["tables"]),
                }
                for one in databases
            ],
            "bytes_read": summary.bytes_read,
            "bytes_stored": summary.bytes_stored,
            "seconds": round(summary.seconds, 3),
            "timeline": summary.timeline,
            "start_lsn": str(summary.start_lsn),
            "end_lsn": str(summary.end_lsn),
            "globals_passwords": body["globals"]["passwords"],
            "fallen": self._fallen,
            "warnings": [
                *body["warnings"],
                *places.warnings,
                *(f"{one['name']}: {text}" for one in databases for text in one["warnings"]),
            ],
        }


def selection_of(context: JobContext) -> Selection:
    """Return what a run dumps: its arguments, and of the configuration what they leave open."""
    asked = Selection.from_json(context.run.args)
    if asked.tables or asked.exclude_tables:
        return asked
    configured = context.config.cluster(context.run.cluster).dump.exclude_tables
    return Selection(asked.part, asked.databases, (), configured)
