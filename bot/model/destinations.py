"""Where a restore goes: a server beside, a new database or schema of the live server, or the place of a database there. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

BESIDE_KINDS = frozenset({"beside", "database", "schema"})
"""Destinations where nothing that exists is touched: the restore adds, and taking it back removes what it added."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A separate server in `directory`; with `port`, also on 127.0.0.1:port."""

    kind: ClassVar[str] = "beside"
    directory: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class NewDatabase:
    """A database of the live server that does not exist yet."""

    kind: ClassVar[str] = "database"
    database: str


@dataclass(frozen=True, slots=True)
class NewSchema:
    """A schema that does not exist yet, of a database of the live server that does."""

    kind: ClassVar[str] = "schema"
    database: str
    schema: str


@dataclass(frozen=True, slots=True)
class EmptyTables:
    """Tables without rows in a database of the live server; the database and the tables are there before and after.

    A class of its own, so that nothing which makes, names or drops a database ever takes this one for its own.
    """

    kind: ClassVar[str] = "rows"
    database: str


@dataclass(frozen=True, slots=True)
class InPlace:
    """The place of `database` of the live server, whose OID is `oid`: another one takes its name, and it is kept as `kept`.

    `incoming` is what the other one is called until then; `incoming_oid` None: it is made by this very restore.
    """

    kind: ClassVar[str] = "in-place"
    database: str
    oid: int
    incoming: str
    incoming_oid: int | None
    kept: str


Destination = Beside | NewDatabase | NewSchema | EmptyTables | InPlace

_KINDS: dict[str, type[Destination]] = {one.kind: one for one in (Beside, NewDatabase, NewSchema, EmptyTables, InPlace)}


def destination_json(destination: Destination) -> dict[str, Any]:
    """Return JSON types only: the fields, and the `kind` that says which they are."""
    return {"kind": destination.kind, **asdict(destination)}


def destination_from_json(data: dict[str, Any]) -> Destination:
    """Read what `destination_json` wrote.

    Raises:
        KeyError: the kind is not known here.
    """
    fields = dict(data)
    return _KINDS[fields.pop("kind")](**fields)


def destination_text(destination: Destination) -> str:
    """Say a destination in a few words, for sentences."""
    match destination:
        case Beside(directory):
            return directory
        case NewDatabase(database):
            return f"the new database {database}"
        case NewSchema(database, schema):
            return f"the new schema {schema} of the database {database}"
        case EmptyTables(database):
            return f"the existing database {database}, tables that are empty"
        case InPlace(database=database):
            return f"the place of the live database {database}"
