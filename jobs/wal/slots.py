"""The two physical slots on the server: one is streamed, the other keeps WAL until a repository has it.

Reporting a flush to the streamed slot as soon as the spool is synced makes synchronous commits fast, but lets the server
drop WAL that only the spool holds. The second slot is never streamed; it is moved after each upload, and a receiver whose
spool was lost starts again from it. Ordinary SQL, which a REPLICATION role may run, on 14 as on 18.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import psycopg

from bot.errors import PitstopError
from bot.model.wal import Lsn
from bot.postgres.connect import Connection
from bot.postgres.server_errors import command_error

_PLAIN = re.compile(r"^[a-z0-9_]{1,48}\Z")


@dataclass(frozen=True, slots=True)
class SlotNames:
    """What a cluster's slots are called on its server."""

    stream: str
    durable: str


@dataclass(frozen=True, slots=True)
class SlotState:
    """A slot as the server sees it. `restart_lsn` None: it keeps nothing. `lost`: WAL it needed is gone.

    `safe_bytes` is how much WAL may still be written before the server gives the slot up; None: without a limit.
    """

    name: str
    restart_lsn: Lsn | None
    active: bool
    lost: bool
    safe_bytes: int | None


def slot_names(cluster: str) -> SlotNames:
    """Name a cluster's slots; slot names allow only a-z, 0-9 and _, so others get a hash that keeps them apart. Pure."""
    stem = cluster
    if not _PLAIN.match(cluster):
        digest = hashlib.sha256(cluster.encode()).hexdigest()[:8]
        stem = re.sub(r"[^a-z0-9_]", "_", cluster)[:39] + "_" + digest
    return SlotNames(f"pitstop_{stem}", f"pitstop_{stem}_keep")


def read_slot(conn: Connection, name: str) -> SlotState | None:
    """Return a slot's state, or None when there is none."""
    row = conn.execute(
        "SELECT restart_lsn::text, active, wal_status, safe_wal_size FROM pg_replication_slots WHERE slot_name = %s",
        [name],
    ).fetchone()
    if row is None:
        return None
    return SlotState(name, Lsn.parse(row[0]) if row[0] else None, row[1], row[2] == "lost", row[3])


def idle_slots(conn: Connection, names: SlotNames) -> list[tuple[str, int]]:
    """Return the slots that make the server keep WAL, and how many bytes, while nobody streams; none while somebody does."""
    rows = conn.execute(
        "SELECT slot_name::text, active, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
        " ELSE pg_current_wal_lsn() END, restart_lsn)::bigint FROM pg_replication_slots"
        " WHERE slot_name::text = ANY(%s) AND restart_lsn IS NOT NULL ORDER BY slot_name",
        [[names.stream, names.durable]],
    ).fetchall()
    return [] if any(active for _, active, _ in rows) else [(str(name), max(0, int(held))) for name, _, held in rows]


def ensure_slot(conn: Connection, name: str, dsn: str) -> tuple[SlotState, bool]:
    """Return a slot that keeps WAL and whether it had to be made: it was missing, or the server had given it up.

    Raises:
        Usage: the role may not, no slot is left, or wal_level is minimal; the hint has the line to put right.
    """
    state = read_slot(conn, name)
    if state is not None and not state.lost and state.restart_lsn is not None:
        return state, False
    try:
        if state is not None:
            conn.execute("SELECT pg_drop_replication_slot(%s)", [name])
        conn.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
    except psycopg.Error as error:
        raise slot_error(error, dsn) from None
    made = read_slot(conn, name)
    assert made is not None
    return made, True


def advance_slot(conn: Connection, name: str, to: Lsn) -> None:
    """Let the server drop WAL before `to`; a slot that is further already, or gone, stays as it is.

    Also when nothing moved it counts as use, so that idle_replication_slot_timeout (18) leaves the slot alone.
    """
    conn.execute(
        "SELECT pg_replication_slot_advance(slot_name, greatest(restart_lsn, %s::pg_lsn)) FROM pg_replication_slots"
        " WHERE slot_name = %s AND restart_lsn IS NOT NULL AND wal_status <> 'lost'"
        " AND %s::pg_lsn <= CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END",
        [str(to), name, str(to)],
    )


def slot_error(error: psycopg.Error, dsn: str) -> PitstopError:
    """Translate what the server says about a slot."""
    return command_error(error.sqlstate or "", (error.diag.message_primary or str(error)).strip(), dsn)
