"""Whom a dump holds up: whoever wants a table to itself waits behind our locks, and everybody else waits behind them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import psycopg

from bot.errors import Conflict, PitstopError
from bot.postgres.dump_session import DumpSession

_LOOK_EVERY_S = 1.0
_OURS = b"SELECT pid FROM pg_stat_activity WHERE application_name = %s AND usename = current_user AND pid <> pg_backend_pid()"
_WAITING = b"""
SELECT n.nspname || '.' || c.relname, l.pid, extract(epoch FROM clock_timestamp() - l.waitstart)::float8
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pg_blocking_pids(l.pid) && %s::int[] AND l.waitstart IS NOT NULL
ORDER BY l.waitstart LIMIT 1
"""


class BlockWatch:
    """Ends the sessions of a dump once they have held somebody up for `max_block_s`; a thread while the block lasts.

    All sessions of the dump carry the session's application name. What ends then is the server's side: their locks are
    free at once, however long our own side takes to notice.
    """

    def __init__(self, session: DumpSession, max_block_s: float) -> None:
        self._session = session
        self._max_block_s = max_block_s
        self._yielded: Conflict | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="block-watch", daemon=True)

    def __enter__(self) -> BlockWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Go on, unless the dump gave way.

        Raises:
            Conflict: `dump-yielded`.
        """
        if self._yielded is not None:
            raise self._yielded

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S) and self._yielded is None:
            try:
                self._look_until_yielded()
            except (psycopg.Error, PitstopError):
                continue  # no connection now; if the server is gone, the dump itself says so

    def _look_until_yielded(self) -> None:
        watching = replace(self._session, application_name="pitstop dump watch")
        with watching.connect() as connection:
            while True:
                ours = [pid for (pid,) in connection.execute(_OURS, [self._session.application_name]).fetchall()]
                waiting = connection.execute(_WAITING, [ours]).fetchone()
                if waiting is not None and waiting[2] >= self._max_block_s:
                    self._give_way(connection, ours, _text(waiting[0]), waiting[1])
                    return
                if self._stop.wait(_LOOK_EVERY_S):
                    return

    def _give_way(
        self, connection: psycopg.Connection[tuple[object, ...]], ours: Sequence[int], table: str, pid: int
    ) -> None:
        self._yielded = Conflict(
            f"The dump of {self._session.dbname} gave way: process {pid} waited for {table} longer than"
            f" {self._max_block_s:.0f} s because of it.",
            hint="Is a migration running? Dump again when it is done, or raise `dump.max_block`.",
            code="dump-yielded",
        )
        connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", [list(ours)])


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
