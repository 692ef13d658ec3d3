"""What a restore brings back out of a backup: as asked for, and as planned. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bot.model.dumps import Part
from bot.model.hooks import Hooks
from bot.model.ids import RequestId, SystemId

NO_HOOKS = Hooks()

LATEST, VERIFIED = "latest", "verified"
"""Instead of a backup's id: the newest one of the database, or the newest that a drill proved."""


@dataclass(frozen=True, slots=True)
class TableName:
    """A table by schema and name, exactly as the server has them."""

    schema: str
    name: str

    @property
    def full_name(self) -> str:
        """Schema and name, as people write it."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, before anything was read.

    `backup` is a backup's id, `latest` or `verified`; of an undo the request whose kept database is wanted.
    `database` None: the only one that is in it (or for a base backup all).
    `tables` are as typed (see `bot.model.dumps.matching`); none means all.
    """

    backup: str = LATEST
    database: str | None = None
    part: Part = Part.FULL
    tables: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only; `kind` tells it from a recovery's target."""
        return {"kind": "backup", **asdict(self), "part": self.part.value, "tables": list(self.tables)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Wanted:
        """Read what `as_json` wrote."""
        return cls(data["backup"], data["database"], Part(data["part"]), tuple(data["tables"]))

    def text(self) -> str:
        """Say it in a few words: what the request is called in lists."""
        what = {Part.FULL: "", Part.SCHEMA_ONLY: "the schema of ", Part.DATA_ONLY: "the rows of "}[self.part]
        tables = f"{', '.join(self.tables)} of " if self.tables else ""
        backup = {LATEST: "the newest dump", VERIFIED: "the newest verified dump"}.get(self.backup, self.backup)
        return f"{what}{tables}{f'{self.database} from ' if self.database else ''}{backup}"


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is restored out of a dump, exactly.

    It goes into the server whose system identifier is `server`. `archive` of the dump holds `database`; `part` and `tables`
    (none: all of them) of it are restored. How a new database is created (encoding, locale, owner, settings, grants) is in the
    archive itself.
    """

    server: SystemId
    database: str
    archive: str
    part: Part = Part.FULL
    tables: tuple[TableName, ...] = ()
    hooks: Hooks = NO_HOOKS

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "server": self.server,
            "database": self.database,
            "archive": self.archive,
            "part": self.part.value,
            "tables": [[table.schema, table.name] for table in self.tables],
            "hooks": self.hooks.as_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Restoration:
        """Read what `as_json` wrote."""
        return cls(
            server=SystemId(data["server"]),
            database=data["database"],
            archive=data["archive"],
            part=Part(data["part"]),
            tables=tuple(TableName(schema, name) for schema, name in data["tables"]),
            hooks=Hooks.from_json(data["hooks"]),
        )


@dataclass(frozen=True, slots=True)
class Undoing:
    """The database that request `of` replaced, and that is kept since, gets its name back. `server`: the system identifier."""

    server: SystemId
    of: RequestId
    hooks: Hooks = NO_HOOKS

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {"server": self.server, "of": self.of, "hooks": self.hooks.as_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Undoing:
        """Read what `as_json` wrote."""
        return cls(SystemId(data["server"]), RequestId(data["of"]), Hooks.from_json(data["hooks"]))
