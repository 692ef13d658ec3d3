"""What of a database a dump takes: everything, its schema or its data, all tables or chosen ones. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from bot.errors import Usage
from bot.model.typed import quoted

_QUOTED_NAME = re.compile(r'(?:"((?:[^"]|"")+)"\.)?"((?:[^"]|"")+)"')


class Part(StrEnum):
    """Which part of a database: both, the definitions alone, or the rows alone."""

    FULL = "full"
    SCHEMA_ONLY = "schema-only"
    DATA_ONLY = "data-only"


CHOSEN_DATABASES = "chosen databases"
"""What a dump of some of the databases holds a part of: the server, but of each of them everything."""

IMPORTED = "imported"
"""What a file of an older script became: it may hold everything, and nobody recorded whether it does."""


def partial_of(body: Mapping[str, Any]) -> str:
    """Say what a dump holds where that is not everything, by its manifest's body: nothing for a whole one. Pure.

    `schema-only`, `data-only`, `chosen tables`, `tables left out` (by hand, not by the configuration), `chosen databases`; or
    `imported`.
    """
    mode = str(body.get("mode", Part.FULL))
    if mode != Part.FULL:
        return mode
    if (body.get("selection") or {}).get("tables"):
        return "chosen tables"
    if body.get("imported"):
        return IMPORTED
    return str(body.get("partial") or "")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a database, by schema and name; `kind` is `table` (also a partition), `partitioned` or `foreign`.

    `parents` are the OIDs of the tables it is a partition or an heir of. `hidden`: row-level security hides rows of it from
    the role that dumps. `extension` is the one it belongs to: its rows are the extension's own affair.
    `sql` is its qualified name as SQL in the client's encoding, `pattern` the same as pg_dump takes it, in the database's.
    """

    oid: int
    schema: str
    name: str
    kind: str
    sql: bytes
    pattern: bytes
    parents: tuple[int, ...] = ()
    hidden: bool = False
    extension: str = ""
    unlogged: bool = False

    @property
    def full_name(self) -> str:
        """Schema and name, as people write it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a dump was asked for: `databases` and `tables` empty means all; tables as typed (see `matching`)."""

    part: Part = Part.FULL
    databases: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only: the run's arguments."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Selection:
        """Read what `as_json` wrote; what is missing is the default."""
        lists = {key: tuple(data.get(key, ())) for key in ("databases", "tables", "exclude_tables")}
        return cls(Part(data.get("part", Part.FULL)), **lists)

    def chosen(self, tables: Sequence[Table]) -> list[Table]:
        """Return which of a database's `tables` are dumped; partitions and heirs go with the table they belong to."""
        wanted = with_heirs(tables, self.tables) if self.tables else {table.oid for table in tables}
        unwanted = with_heirs(tables, self.exclude_tables)
        return [table for table in tables if table.oid in wanted and table.oid not in unwanted]

    def excluded(self, tables: Sequence[Table]) -> list[Table]:
        """Return the tables left out by name, with their partitions and heirs."""
        unwanted = with_heirs(tables, self.exclude_tables)
        return [table for table in tables if table.oid in unwanted]

    @property
    def large_objects(self) -> bool:
        """Whether large objects are part of the dump: they belong to no table, so not where tables were chosen."""
        return self.part is not Part.SCHEMA_ONLY and not self.tables


EVERYTHING = Selection()


class Named(Protocol):
    """Anything that has the names of a table."""

    @property
    def schema(self) -> str:
        """Its schema."""
        ...

    @property
    def name(self) -> str:
        """Its own name."""
        ...

    @property
    def full_name(self) -> str:
        """Both, as people write it."""
        ...


N = TypeVar("N", bound=Named)


def matching(word: str, tables: Sequence[N]) -> list[N]:
    """Return the tables that `word` names: `Name`, `schema.Name` or quoted as in SQL; exactly, also in upper and lower case.

    Without a schema a name stands for the table of that name in every schema. Nothing in a name is a wildcard.
    """
    if sql := _QUOTED_NAME.fullmatch(word):
        schema, name = (part.replace('""', '"') if part else None for part in sql.groups())
        found = [table for table in tables if table.name == name and schema in {None, table.schema}]
        if found:
            return found
    return [table for table in tables if word in {table.full_name, table.name}]


def with_heirs(tables: Sequence[Table], words: Iterable[str]) -> set[int]:
    """Return the OIDs of the tables that `words` name and of everything below them."""
    wanted = {table.oid for word in words for table in matching(word, tables)}
    while True:
        more = {table.oid for table in tables if wanted.intersection(table.parents)} - wanted
        if not more:
            return wanted
        wanted |= more


def require_known(words: Iterable[str], tables: Sequence[Named], where: str) -> None:
    """Make sure that each word names a table.

    Raises:
        Usage: `unknown-table`, with the nearest names.
    """
    for word in words:
        if not matching(word, tables):
            near = nearest_tables(word, tables)
            raise Usage(
                f"There is no table {quoted(word, 120)} in {where}.",
                hint=f"Did you mean {', '.join(near)}?"
                if near
                else "Names are taken exactly, in upper and lower case: schema.Name.",
                code="unknown-table",
            )


def nearest_tables(word: str, tables: Sequence[Named]) -> list[str]:
    """Return up to three tables that `word` may have meant."""
    names = {table.full_name.lower(): table.full_name for table in tables}
    short = {table.name.lower(): table.full_name for table in tables}
    meant = word.strip('"').lower()[:200]
    close = get_close_matches(meant, [*short, *names], n=6, cutoff=0.6)
    return list(dict.fromkeys(short.get(name) or names[name] for name in close))[:3]
