"""What is in a backup, in short: enough to show it and to pick from it without reading the repository. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_TABLES = 10_000
"""How many tables are kept of one backup; of more, the first by name."""


@dataclass(frozen=True, slots=True)
class TableContents:
    """A table of a dump; `rows` is None where they were not counted, `note` says why."""

    schema: str
    name: str
    rows: int | None
    note: str = ""

    @property
    def full_name(self) -> str:
        """Schema and name, as people write it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class DatabaseContents:
    """A database of a backup. Of a base backup the tables are not known; `large_objects` is None where unknown."""

    name: str
    encoding: str
    tables: tuple[TableContents, ...] = ()
    large_objects: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What the manifest's body says. `part` is that of a dump, else empty; `omitted` counts tables beyond MAX_TABLES.

    `imported` is the name of the old file that it was made from, else empty.
    """

    part: str
    server: str
    operating_system: str
    data_checksums: bool | None
    databases: tuple[DatabaseContents, ...]
    warnings: tuple[str, ...] = ()
    omitted: int = 0
    imported: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        data = asdict(self)
        data["warnings"] = list(self.warnings)
        data["databases"] = [
            {**asdict(one), "tables": [asdict(table) for table in one.tables]} for one in self.databases
        ]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Contents:
        """Read what `as_json` wrote."""
        databases = tuple(
            DatabaseContents(
                one["name"], one["encoding"], tuple(TableContents(**t) for t in one["tables"]), one["large_objects"]
            )
            for one in data["databases"]
        )
        return cls(**{**data, "databases": databases, "warnings": tuple(data["warnings"])})

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> Contents:
        """Read a manifest's body, as base backups and dumps write it; what is missing there is left empty."""
        facts = body.get("server_facts") or {}
        dumped = body.get("databases")
        found = dumped if dumped is not None else _own(facts.get("databases") or ())
        kept, omitted = _limited([_database(one) for one in found])
        return cls(
            part=str(body.get("mode", "")) if dumped is not None else "",
            server=str(facts.get("version", "")),
            operating_system=str(facts.get("operating_system", "")),
            data_checksums=facts.get("data_checksums"),
            databases=kept,
            warnings=tuple(str(text) for text in body.get("warnings") or ()),
            omitted=omitted,
            imported=str((body.get("imported") or {}).get("file") or ""),
        )

    def database(self, name: str) -> DatabaseContents | None:
        """Return one database, or None."""
        return next((one for one in self.databases if one.name == name), None)


def _own(databases: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out the templates that every server comes with: they are nobody's content."""
    return [one for one in databases if one["name"] not in {"template0", "template1"}]


def _database(one: Mapping[str, Any]) -> DatabaseContents:
    tables = (
        TableContents(str(t["schema"]), str(t["name"]), t.get("rows"), str(t.get("note") or ""))
        for t in one.get("tables") or ()
    )
    ordered = sorted(tables, key=lambda table: (table.schema, table.name))
    return DatabaseContents(str(one["name"]), str(one.get("encoding", "")), tuple(ordered), one.get("large_objects"))


def _limited(databases: list[DatabaseContents]) -> tuple[tuple[DatabaseContents, ...], int]:
    left, omitted, kept = MAX_TABLES, 0, []
    for one in databases:
        shown = one.tables[:left]
        left, omitted = left - len(shown), omitted + len(one.tables) - len(shown)
        kept.append(DatabaseContents(one.name, one.encoding, shown, one.large_objects))
    return tuple(kept), omitted
