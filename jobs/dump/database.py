"""Dump one database: lock, snapshot, pg_dump into an archive, counts beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bot.config import DumpConfig
from bot.errors import Conflict, PitstopError
from bot.host.children import Child
from bot.model.dumps import Part, Selection, Table
from bot.model.wal import Lsn
from bot.postgres.binaries import Binaries
from bot.postgres.dump_program import dumping, finish
from bot.postgres.dump_session import DumpSession
from bot.postgres.dump_snapshot import Snapshot, locked_snapshot, missing_right, row_security
from bot.postgres.dump_watch import BlockWatch
from bot.repository.backup_writer import ArchiveWriter, BackupWriter
from jobs.context import JobContext
from jobs.dump.counting import Counting

_LOOK_EVERY_S = 0.5
_REPORT_BYTES = 4 * 1024 * 1024
_ATTEMPTS = 3
_SCHEMA_ONLY = "not counted: the dump has no rows"
_UNLOGGED = "unlogged: a standby has no rows of it"
_NOTES = {"partitioned": "its rows are in its partitions", "foreign": "foreign: not read"}


@dataclass(frozen=True, slots=True)
class Dumped:
    """One database as it was dumped; `record` is its entry in the manifest's body."""

    lsn: Lsn
    timeline: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DatabaseDump:
    """What to dump into which archive, with what."""

    session: DumpSession
    encoding: str
    archive: str
    selection: Selection
    tools: Binaries
    config: DumpConfig

    def take(self, writer: BackupWriter, context: JobContext) -> Dumped:
        """Dump the database; when this returns, its archive is durable.

        A change of the schema that comes between our locks and pg_dump's is waited out by beginning anew.

        Raises:
            Conflict: `table-locked`, `dump-yielded`: somebody else's lock stood in the way, or ours in theirs.
            Usage: a right is missing, or rows are hidden; the hint has the line to put right.
            Unavailable: the server or the repository went away. Failed: pg_dump did.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            into = _Archive(writer, self.archive)
            try:
                return self._once(into, context)
            except Conflict as error:
                if error.reason_code != "table-locked" or into.begun or attempt == _ATTEMPTS:
                    raise
                context.note(f"{error.message} Trying again.")
        raise AssertionError("the last attempt returns or raises")

    def _once(self, into: _Archive, context: JobContext) -> Dumped:
        name = self.session.dbname
        context.phase(f"lock {name}")
        lock_wait_ms = round(self.config.lock_wait.total_seconds() * 1000)
        with (
            BlockWatch(self.session, self.config.max_block.total_seconds()) as watch,
            _because_of(watch.check),
            locked_snapshot(self.session, self.selection.chosen, lock_wait_ms=lock_wait_ms) as snapshot,
        ):
            self._require_visible(snapshot)
            facts = _facts(snapshot, self.selection, self.session)
            context.phase(f"dump {name}")
            options = self._options(snapshot, lock_wait_ms)
            with (
                Counting(snapshot, self.session, self._countable(snapshot)) as counting,
                _because_of(counting.check),
                dumping(self.tools, self.session, snapshot.name, options) as child,
            ):
                _copy(child, into, context, (watch.check, counting.check), facts.total_bytes)
                warnings = finish(child, self.session)
                if self.selection.part is not Part.SCHEMA_ONLY:
                    context.note("Counting what was dumped.")
                while not counting.done(_LOOK_EVERY_S):
                    context.check_cancelled()
                    watch.check()
        # The locks are gone by now: nobody waits for our storage.
        into.close()
        return self._dumped(snapshot, facts, counting.rows, warnings, options)

    def _require_visible(self, snapshot: Snapshot) -> None:
        """Refuse before anything is read what pg_dump would refuse in the middle, and what it would take for everything."""
        if self.selection.tables and not snapshot.tables:
            raise Conflict(
                f"The chosen tables of {self.session.dbname} vanished meanwhile.",
                hint="Is a migration running? Dump again when it is done.",
                code="tables-changing",
            )
        hidden = [table for table in snapshot.tables if table.hidden]
        if hidden and self.selection.part is not Part.SCHEMA_ONLY:
            names = ", ".join(table.full_name for table in hidden[:3])
            more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
            raise row_security(f"it is enabled for {names}{more}", self.session)

    def _countable(self, snapshot: Snapshot) -> list[Table]:
        """Return the tables whose rows are in the dump. A standby has none of unlogged tables."""
        if self.selection.part is Part.SCHEMA_ONLY:
            return []
        tables = [table for table in snapshot.tables if table.kind == "table" and not table.extension]
        return [table for table in tables if not (table.unlogged and snapshot.in_recovery)]

    def _options(self, snapshot: Snapshot, lock_wait_ms: int) -> list[str | bytes]:
        """Return what pg_dump is told besides format, snapshot and connection."""
        options: list[str | bytes] = [f"--encoding={self.encoding}", f"--lock-wait-timeout={lock_wait_ms}"]
        if self.selection.part is not Part.FULL:
            options.append(f"--{self.selection.part.value}")
        if snapshot.in_recovery:
            options.append("--no-unlogged-table-data")
        if self.selection.tables:
            return [*options, "--strict-names", *(b"--table=" + table.pattern for table in snapshot.tables)]
        excluded = self.selection.excluded(snapshot.all_tables)
        return [*options, *(b"--exclude-table=" + table.pattern for table in excluded)]

    def _dumped(
        self,
        snapshot: Snapshot,
        facts: _Facts,
        rows: dict[int, int],
        warnings: Sequence[str],
        options: Sequence[str | bytes],
    ) -> Dumped:
        empty = self.selection.part is Part.SCHEMA_ONLY
        record = {
            "name": self.session.dbname,
            "archive": self.archive,
            "format": "custom",
            "options": [_shown(option) for option in options],
            "encoding": self.encoding,
            "lsn": str(snapshot.lsn),
            "snapshot_at": snapshot.at.isoformat(),
            "tables": [
                _table(table, rows.get(table.oid), facts.sizes.get(table.oid, 0), _SCHEMA_ONLY if empty else _UNLOGGED)
                for table in snapshot.tables
            ],
            "sequences": facts.sequences,
            "large_objects": facts.large_objects,
            "warnings": list(warnings),
        }
        return Dumped(snapshot.lsn, snapshot.timeline, record)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is read of a snapshot before its connection is busy counting."""

    sizes: dict[int, int]
    sequences: list[dict[str, Any]]
    large_objects: int | None

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes.values())


def _facts(snapshot: Snapshot, selection: Selection, session: DumpSession) -> _Facts:
    """Read them; refuse now what pg_dump would refuse at its end."""
    large_objects = None
    if selection.large_objects:
        large_objects, unreadable = snapshot.large_objects()
        if unreadable:
            raise missing_right(f"permission denied for large object, {unreadable:,} of {large_objects:,}", session)
    return _Facts(snapshot.sizes(), [sequence.as_json() for sequence in snapshot.sequences()], large_objects)


class _Archive:
    """An archive that begins with its first bytes, so that a dump that never wrote any can begin anew."""

    def __init__(self, writer: BackupWriter, name: str) -> None:
        self._writer = writer
        self._name = name
        self._archive: ArchiveWriter | None = None
        self.bytes_read = 0

    @property
    def begun(self) -> bool:
        """Whether anything was written."""
        return self._archive is not None

    def write(self, data: memoryview) -> None:
        """Append bytes; they are copied."""
        if self._archive is None:
            self._archive = self._writer.archive(self._name, tar=False)
        self._archive.write(data)
        self.bytes_read += len(data)

    def close(self) -> None:
        """Make everything durable."""
        if self._archive is None:
            self._archive = self._writer.archive(self._name, tar=False)
        self._archive.close()


@contextmanager
def _because_of(check: Callable[[], None]) -> Iterator[None]:
    """Tell what `check` has to say instead of what came of it: a session that ended takes others with it."""
    try:
        yield
    except PitstopError:
        check()
        raise


def _copy(child: Child, into: _Archive, context: JobContext, checks: Sequence[Callable[[], None]], total: int) -> None:
    """Write all that the program says into the archive."""
    reported = 0
    while (data := child.read(_LOOK_EVERY_S)) is None or len(data):
        context.check_cancelled()
        for check in checks:
            check()
        if data is None:
            continue
        into.write(data)
        if into.bytes_read - reported >= _REPORT_BYTES:
            reported = into.bytes_read
            context.progress(reported, max(total, reported))
    context.progress(into.bytes_read, into.bytes_read)


def _table(table: Table, rows: int | None, size: int, otherwise: str) -> dict[str, Any]:
    """Return a table's entry; `otherwise` is why an ordinary table was not counted."""
    note = _NOTES.get(table.kind, "")
    if table.kind == "table" and rows is None:
        note = f"belongs to the extension {table.extension}" if table.extension else otherwise
    return {
        "schema": table.schema, "name": table.name, "kind": table.kind, "rows": rows, "bytes": size, "note": note,
    }  # fmt: skip


def _shown(option: str | bytes) -> str:
    return option if isinstance(option, str) else option.decode("utf-8", "backslashreplace")
