"""The newest record of a database, by a query of the user's: `SELECT max("CreatedAt") FROM "Transactions"`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from bot.errors import PitstopError
from bot.postgres.connect import connect, make_dsn

_OPTIONS = "-c default_transaction_read_only=on -c statement_timeout=300000 -c lock_timeout=10000"


@dataclass(frozen=True, slots=True)
class Latest:
    """The first column of the first row (None: no row, or NULL); `trouble` says why nothing could be read."""

    value: Any = None
    trouble: str = ""

    @property
    def shown(self) -> str:
        """The value in a few words."""
        return " ".join(str(self.value).split())[:80]

    def is_before(self, other: Latest) -> bool:
        """Say whether this is older than `other`; values that cannot be compared are not."""
        try:
            return bool(self.value < other.value)
        except TypeError:
            return False


def read_latest(dsn: str, database: str, sql: str) -> Latest:
    """Run the query in a read-only session; what goes wrong is a finding."""
    try:
        with connect(make_dsn(dsn, options=_OPTIONS), dbname=database, timeout_s=5) as connection:
            row = connection.execute(sql.encode()).fetchone()
    except (psycopg.Error, PitstopError) as error:
        return Latest(trouble=" ".join(str(error).split())[:200])
    return Latest(row[0] if row else None)
