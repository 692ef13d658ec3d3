"""What a restore brings back out of a backup: as asked for, and as planned. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bot.model.dumps import Part
from bot.model.ids import SystemId

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

    `backup` is a backup's id, `latest` or `verified`. `database` None: the only one that is in it (or for a base backup all).
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
        backup = {LATEST: "the newest backup", VERIFIED: "the newest verified backup"}.get(self.backup, self.backup)
        return f"{what}{tables}{f'{self.database} from ' if self.database else ''}{backup}"


@dataclass(frozen=True, slots=True)
class Hooks:
    """What runs around a restore: commands before and after it, as one line of shell each, and a page that must answer 200."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    health_url: str | None = None


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is restored out of a dump, exactly.

    It goes into the server whose system identifier is `server`. `archive` of the dump holds `database`; `part` and `tables`
    (none: all of them) of it are restored, with as many `jobs` at once. How a new database is created (encoding, locale,
    owner, settings, grants) is in the archive itself.
    """

    server: SystemId
    database: str
    archive: str
    part: Part = Part.FULL
    tables: tuple[TableName, ...] = ()
    jobs: int = 1
    hooks: Hooks = Hooks()

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "server": self.server,
            "database": self.database,
            "archive": self.archive,
            "part": self.part.value,
            "tables": [[table.schema, table.name] for table in self.tables],
            "jobs": self.jobs,
            "hooks": {
                "before": list(self.hooks.before),
                "after": list(self.hooks.after),
                "health_url": self.hooks.health_url,
            },
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Restoration:
        """Read what `as_json` wrote."""
        hooks = data["hooks"]
        return cls(
            server=SystemId(data["server"]),
            database=data["database"],
            archive=data["archive"],
            part=Part(data["part"]),
            tables=tuple(TableName(schema, name) for schema, name in data["tables"]),
            jobs=data["jobs"],
            hooks=Hooks(tuple(hooks["before"]), tuple(hooks["after"]), hooks["health_url"]),
        )
