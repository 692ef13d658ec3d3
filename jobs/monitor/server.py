"""The live server as the monitor sees it: how far its WAL goes, and its slots."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from bot.errors import Unavailable
from bot.model.conditions.wal import Slot
from bot.model.wal import Lsn
from bot.postgres.connect import connect, make_dsn, server_place
from jobs.wal.slots import slot_names

CONNECT_S = 3
STATEMENT_MS = 3000


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a server: its WAL goes up to `lsn`."""

    lsn: Lsn
    slots: tuple[Slot, ...]


def look_at(dsn: str, cluster: str) -> Seen:
    """Ask a server for its WAL position and its slots; 3 s for the connection, 3 s for each answer.

    Raises:
        Unavailable: it does not answer, or not in time. Usage: it turns us down.
    """
    options = f"-c statement_timeout={STATEMENT_MS} -c default_transaction_read_only=on"
    ours = set(ours_of(cluster))
    try:
        with connect(make_dsn(dsn, options=options), timeout_s=CONNECT_S, application_name="pitstop monitor") as sql:
            row = sql.execute(_POSITION).fetchone()
            rows = sql.execute(_SLOTS).fetchall()
    except psycopg.Error as error:
        raise Unavailable(
            f"PostgreSQL at {server_place(dsn)} did not answer the monitor: {' '.join(str(error).split())}.",
            hint="Is it overloaded, or stuck?",
            code="server-down",
        ) from None
    assert row is not None
    slots = tuple(
        Slot(name, name in ours, active, status, safe, max(0, int(kept))) for name, active, status, safe, kept in rows
    )
    return Seen(Lsn.parse(row[0]), slots)


def ours_of(cluster: str) -> tuple[str, str]:
    """Return the names of the two slots Pitstop keeps on a cluster's server."""
    names = slot_names(cluster)
    return names.stream, names.durable


_NOW = (
    "CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    " ELSE pg_current_wal_lsn() END"
)
_POSITION = f"SELECT ({_NOW})::text"
_SLOTS = (
    f"SELECT slot_name::text, active, coalesce(wal_status, 'unknown'), safe_wal_size,"  # noqa: S608 - our own words
    f" coalesce(pg_wal_lsn_diff({_NOW}, restart_lsn), 0) FROM pg_replication_slots"
)
