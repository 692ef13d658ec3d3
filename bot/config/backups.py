"""A cluster's `dump`, `drill`, `retention`, `scrub` and `old_backups` tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import (
    Field,
    field_validator,
)

from bot.config.values import Duration, FilePath, Table
from bot.model.keeping import Keeping
from bot.model.scrub import Budget


class DumpConfig(Table):
    """How a cluster's databases are dumped.

    `lock_wait` is how long a dump waits for each table's lock, `max_block` how long it may keep somebody waiting who wants a
    table to themselves. `exclude_tables` are left out on schedule, as `schema.Name`.
    """

    exclude_tables: tuple[str, ...] = ()
    lock_wait: Duration = Field(default=timedelta(seconds=30), ge=timedelta(milliseconds=1))
    max_block: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1))


class RetentionConfig(Table):
    """How long backups and WAL are kept, and how many sound ones at least; see docs/retention.md.

    `most_at_once` is the share of all backups that one run may remove without `--force`. What is left of a backup whose
    manifest somebody else removed is kept for `leftovers` more.
    """

    base: Duration = Field(default=timedelta(days=30), ge=timedelta(hours=1))
    incremental: Duration = Field(default=timedelta(days=7), ge=timedelta(hours=1))
    dump: Duration = Field(default=timedelta(days=30), ge=timedelta(hours=1))
    wal: Duration = Field(default=timedelta(days=7), ge=timedelta(0))
    minimum_base: int = Field(default=2, ge=1)
    minimum_dump: int = Field(default=2, ge=1)
    most_at_once: float = Field(default=0.5, gt=0, le=1)
    leftovers: Duration = Field(default=timedelta(days=7), ge=timedelta(0))

    @property
    def keeping(self) -> Keeping:
        """The rules as retention decides by them."""
        return Keeping(
            base=self.base,
            incremental=self.incremental,
            dump=self.dump,
            wal=self.wal,
            minimum_base=self.minimum_base,
            minimum_dump=self.minimum_dump,
            most_at_once=self.most_at_once,
        )


class ScrubConfig(Table):
    """How much of what is stored is read again per day: a share of it like `5%`, or a size like `20GiB`."""

    budget: str = "5%"

    @field_validator("budget")
    @classmethod
    def _readable(cls, value: str) -> str:
        Budget.parse(value)
        return value

    @property
    def daily(self) -> Budget:
        """The budget, read."""
        return Budget.parse(self.budget)


class DrillConfig(Table):
    """What a drill expects of the copies it makes; tables are named `Name`, `schema.Name` or `database.schema.Name`.

    `critical_tables` have to be there (default: all that the drill or dump before had), `min_rows` are floors, and no table
    may lose more than `max_shrink` of its rows, but those in `may_shrink`. `latest` are queries by database whose answer is
    the newest record. `canary` lets drills write two rows to the schema `pitstop` of the live server. No check begins after
    `check_limit`.
    """

    critical_tables: tuple[str, ...] = ()
    min_rows: dict[str, Annotated[int, Field(ge=0)]] = Field(default={})
    may_shrink: tuple[str, ...] = ()
    max_shrink: float = Field(default=0.5, gt=0, le=1)
    latest: dict[str, str] = Field(default={})
    canary: bool = False
    check_limit: Duration = Field(default=timedelta(hours=2), ge=timedelta(seconds=1))


class OldBackupsConfig(Table):
    """Where backups of older scripts lie (`*.backup.gz.enc` and the like), and the file whose first line opens them."""

    directory: FilePath
    passphrase_file: FilePath | None = None
