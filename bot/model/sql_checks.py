"""A check from the configuration, in SQL."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SqlCheck:
    """A check from the configuration: it passes when `sql`, run in `database`, returns `expect` as text (or any row, if None)."""

    name: str
    database: str
    sql: str
    expect: str | None = None
