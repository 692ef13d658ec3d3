"""The swap: two databases change names in one transaction, with their sessions ended while it holds the door.

ALTER DATABASE … RENAME locks the database against new sessions until its transaction ends, and waits five seconds for the
present ones to go. So everything is one message to the server: rename both, close the old one, open the new one, write the notes.
Whatever dies at whatever moment, one of the two databases has the name and takes connections; nothing has to be put back.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass

from psycopg import sql
from psycopg.pq import ConnStatus, ExecStatus

from bot.errors import Conflict, Failed, PitstopError, Unavailable, Usage
from bot.model.swaps import Note, Standing, Swap, standing
from bot.postgres.connect import Connection
from bot.postgres.maintenance import connect_beside, database_oids, server_refusal, translated

ATTEMPTS = 2
GRACE_S = 2.0
"""How long transactions under way may take to finish while the door is held; then they are ended too."""

_EVERY_S = 0.05
_DIFFERENT = "22012"


@dataclass(frozen=True, slots=True)
class Ended:
    """How many sessions were ended for the swap, and how long the door was held (seconds)."""

    sessions: int
    seconds: float


def swap_databases(dsn: str, swap: Swap, *, comment: str | None, allowed: bool, note: Note) -> Ended:
    """Let `swap.incoming` take the name, with `comment`, and open to sessions if `allowed`; keep the other closed, with `note`.

    Idempotent: a swap that has happened is only looked at. Sessions get SQLSTATE 57P01; those that come meanwhile wait, and are
    told that the database does not exist if they came before the commit.

    Raises:
        Conflict: `prepared-transactions`, `swap-strange`, or `sessions-stay`: some could not be ended. Nothing has changed.
        Unavailable: the connection was lost; whether it has happened is what the server's names say.
        Usage, Failed: the server refused. Nothing has changed.
    """
    with connect_beside(dsn, swap.database, swap.incoming, swap.outgoing) as connection:
        if standing(database_oids(connection), swap) is Standing.AFTER:
            return Ended(0, 0.0)
        refuse_prepared(connection, swap.database, swap.incoming)
        statement = transaction(swap, comment=comment, allowed=allowed, note=note).as_bytes(connection)
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            with _Ending(dsn, swap) as ending:
                trouble = _run(connection, statement)
            if trouble is None:
                return Ended(ending.ended, time.monotonic() - began)
            if trouble.reason_code != "postgres-55006" or attempt == ATTEMPTS:
                raise _explained(connection, swap, trouble)
        raise AssertionError("the last attempt returns or raises")


def refuse_prepared(connection: Connection, *databases: str) -> None:
    """Refuse databases with prepared transactions: they block the renaming, and would be lost from sight.

    Raises:
        Conflict: `prepared-transactions`, naming them.
    """
    with translated():
        found = connection.execute(
            "SELECT gid, database::text FROM pg_prepared_xacts WHERE database = ANY(%s) ORDER BY prepared",
            [list(databases)],
        ).fetchall()
    if found:
        gid, database = found[0]
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise Conflict(
            f"The prepared transaction “{gid}”{more} of {database} stands in the way of a swap.",
            hint="COMMIT PREPARED or ROLLBACK PREPARED it in that database first; SELECT * FROM pg_prepared_xacts;",
            code="prepared-transactions",
        )


def transaction(swap: Swap, *, comment: str | None, allowed: bool, note: Note) -> sql.Composed:
    """Return the whole swap as one message for the server. Pure.

    The last statement divides by zero unless each name now belongs to the OID it should: a database that somebody renamed
    between the look and the lock undoes it all.
    """
    database, incoming, outgoing = (sql.Identifier(name) for name in (swap.database, swap.incoming, swap.outgoing))
    return sql.SQL(
        "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '30s';"
        " ALTER DATABASE {database} RENAME TO {outgoing}; ALTER DATABASE {incoming} RENAME TO {database};"
        " ALTER DATABASE {outgoing} ALLOW_CONNECTIONS false; ALTER DATABASE {database} ALLOW_CONNECTIONS {allowed};"
        " COMMENT ON DATABASE {outgoing} IS {note}; COMMENT ON DATABASE {database} IS {comment};"
        " SELECT 1 / count(*) FILTER (WHERE n = 2) FROM (SELECT count(*) AS n FROM pg_catalog.pg_database"
        " WHERE (datname, oid) IN (({database_name}, {incoming_oid}), ({outgoing_name}, {oid}))) AS found; COMMIT"
    ).format(
        database=database,
        incoming=incoming,
        outgoing=outgoing,
        allowed=sql.Literal(allowed),
        note=sql.Literal(note.text()),
        comment=sql.Literal(comment),
        database_name=sql.Literal(swap.database),
        outgoing_name=sql.Literal(swap.outgoing),
        oid=sql.SQL(f"{swap.oid}::oid"),
        incoming_oid=sql.SQL(f"{swap.incoming_oid}::oid"),
    )


def _run(connection: Connection, statement: bytes) -> PitstopError | None:
    """Send the transaction; return why it did not commit, or None when it did."""
    result = connection.pgconn.exec_(statement)
    if result.status in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
        return None
    sqlstate = (result.error_field(_SQLSTATE) or b"").decode() or None
    message = result.error_message.decode("utf-8", "replace")
    if connection.pgconn.status == ConnStatus.OK:
        connection.pgconn.exec_(b"ROLLBACK")
    if sqlstate == _DIFFERENT:
        return Conflict(
            "A database of this swap was renamed or replaced at the same moment.",
            hint="Did somebody else work on it? Ask again.",
            code="swap-strange",
        )
    return server_refusal(sqlstate, message)


_SQLSTATE = 67  # PG_DIAG_SQLSTATE, 'C'


def _explained(connection: Connection, swap: Swap, trouble: PitstopError) -> PitstopError:
    """Say who stood in the way, where sessions did."""
    if trouble.reason_code != "postgres-55006":
        return trouble
    refuse_prepared(connection, swap.database, swap.incoming)
    with translated():
        left = connection.execute(
            "SELECT usename::text, application_name, pid FROM pg_stat_activity WHERE datname = ANY(%s)",
            [[swap.database, swap.incoming]],
        ).fetchall()
    who = ", ".join(
        f"{user or 'a process of the server'} ({name or 'no name'}, pid {pid})" for user, name, pid in left[:5]
    )
    return Failed(
        f"Not all sessions of {swap.database} could be ended{f': {who}' if who else ''}. Nothing was changed.",
        hint="Are they a superuser's? Pitstop's role ends only what it may; end them, then ask again.",
        code="sessions-stay",
    )


class _Ending:
    """Ends the sessions of both databases from a second connection, as long as the block lasts: idle ones at once, others later."""

    def __init__(self, dsn: str, swap: Swap) -> None:
        self._seen = set[tuple[int, object]]()
        self._swap = swap
        self._connection = connect_beside(dsn, swap.database, swap.incoming, swap.outgoing)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ending-sessions", daemon=True)

    @property
    def ended(self) -> int:
        """How many sessions were told to end."""
        return len(self._seen)

    def __enter__(self) -> _Ending:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        deadline = time.monotonic() + GRACE_S
        while not self._done.is_set():
            try:
                self._end_those_there(impatient=time.monotonic() > deadline)
            except Unavailable:
                return  # the renaming itself says that the server is gone
            self._done.wait(_EVERY_S)

    def _end_those_there(self, *, impatient: bool) -> None:
        names = [self._swap.database, self._swap.incoming]
        with translated():
            found = self._connection.execute(_SESSIONS, [names, impatient]).fetchall()
        for pid, began in found:
            # A session that is not ours to end is named when the renaming fails for it.
            with contextlib.suppress(Usage), translated():
                self._connection.execute("SELECT pg_terminate_backend(%s)", [pid])
                self._seen.add((pid, began))


_SESSIONS = """
SELECT pid, backend_start FROM pg_stat_activity
WHERE datname = ANY(%s) AND (%s OR xact_start IS NULL OR state = 'idle')
"""
