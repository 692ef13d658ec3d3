"""What a restore takes out of a dump: the database, the tables, and the entries of the archive that bring them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from bot.errors import Usage
from bot.model.dumps import Part, matching, nearest_tables, require_known
from bot.model.restores import Restoration, TableName, Wanted
from bot.model.typed import quoted, shell_word
from bot.postgres.archive_choice import Choice, everything, rows_alone, tables_of, without_rows
from bot.postgres.archive_toc import Toc, read_toc
from bot.repository.cluster import ClusterRepository
from bot.repository.manifest import Manifest


@dataclass(frozen=True, slots=True)
class DumpedTable:
    """A table as the dump's manifest keeps it; `rows` None: not counted, and `note` says why."""

    schema: str
    name: str
    kind: str
    rows: int | None
    bytes: int
    note: str = ""

    @property
    def full_name(self) -> str:
        """Schema and name, as people write it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Contents:
    """One database of a dump: its entry in the manifest's body, its archive's table of contents, and what is taken of it."""

    record: Mapping[str, Any]
    toc: Toc
    choice: Choice

    def tables(self) -> list[DumpedTable]:
        """Return the tables whose rows come along, with the counts that the dump kept."""
        taken = set(self.choice.tables)
        return [table for table in dumped_tables(self.record) if TableName(table.schema, table.name) in taken]


def dumped_tables(record: Mapping[str, Any]) -> list[DumpedTable]:
    """Return every table that a database's entry in a dump's body names."""
    return [
        DumpedTable(
            one["schema"], one["name"], one["kind"], one["rows"], int(one.get("bytes") or 0), one.get("note", "")
        )
        for one in record["tables"]
    ]


def database_record(manifest: Manifest, name: str | None, configured: Sequence[str] = ()) -> Mapping[str, Any]:
    """Return the entry of the database called `name`, or of the only one there is.

    Raises:
        Usage: `unknown-database` with the nearest name, or `which-database`.
    """
    records: dict[str, Mapping[str, Any]] = {
        str(record["name"]): record for record in manifest.body.get("databases", ())
    }
    if name is None and len(records) == 1:
        return next(iter(records.values()))
    if name is None:
        first = [database for database in configured if database in records][:1]
        example = first[0] if first else next(iter(records), "NAME")
        raise Usage(
            f"The dump {manifest.id} holds {len(records)} databases: {', '.join(list(records)[:12])}.",
            hint=f"Which one? --database {shell_word(example)}",
            code="which-database",
        )
    if name in records:
        return records[name]
    lower = {known.lower(): known for known in records}
    near = get_close_matches(name.lower()[:200], list(lower), n=1, cutoff=0.6)
    raise Usage(
        f"There is no database {quoted(name, 80)} in the dump {manifest.id}.",
        hint=f"Did you mean {lower[near[0]]}?" if near else f"There are: {', '.join(list(records)[:12])}.",
        code="unknown-database",
    )


def wanted_tables(record: Mapping[str, Any], wanted: Wanted) -> tuple[TableName, ...]:
    """Return the tables that were named, exactly as the dump has them; none means all.

    Raises:
        Usage: `unknown-table` with the nearest names, or `foreign-table`.
    """
    tables = dumped_tables(record)
    require_known(wanted.tables, tables, f"the dump of {record['name']}")
    found = [table for word in wanted.tables for table in matching(word, tables)]
    foreign = next((table for table in found if table.kind == "foreign"), None)
    if foreign is not None:
        near = nearest_tables(foreign.name, [table for table in tables if table.kind != "foreign"])
        raise Usage(
            f"{foreign.full_name} is a foreign table: its rows are elsewhere, and not in the dump.",
            hint=f"Did you mean {near[0]}?" if near else "Is there a dump of the server its rows are on?",
            code="foreign-table",
        )
    return tuple(dict.fromkeys(TableName(table.schema, table.name) for table in found))


def read_contents(repository: ClusterRepository, manifest: Manifest, work: Restoration) -> Contents:
    """Read the head of the database's archive, and choose what is restored of it.

    Raises:
        Corruption: the archive is damaged. Unavailable: it cannot be read now, or a newer pg_dump wrote it.
    """
    record = database_record(manifest, work.database)
    toc = read_toc(repository.read_archive(manifest, work.archive))
    choice = tables_of(toc, work.tables) if work.tables else everything(toc)
    taken = {Part.FULL: lambda all_of_it: all_of_it, Part.SCHEMA_ONLY: without_rows, Part.DATA_ONLY: rows_alone}
    return Contents(record, toc, taken[work.part](choice))
