"""Looking into a copy: connections that only read, name what they mean in full, give up in time, and can be stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg

from bot.postgres.connect import Connection, connect, make_dsn
from bot.postgres.isolated import IsolatedServer
from bot.postgres.own_session import session_options

_LOOK_EVERY_S = 0.2


@contextlib.contextmanager
def looking(
    server: IsolatedServer,
    dbname: str,
    *,
    timeout_s: float,
    cancelled: Callable[[], bool],
    encoding: str = "UTF8",
    own_path: bool = False,
) -> Iterator[Connection]:
    """Open a read-only connection to a database of the copy as its superuser; each statement may take `timeout_s` seconds.

    While the block lasts, `cancelled` turning true ends the statement under way, which then raises `QueryCanceled`. With
    `own_path` names are looked up where the database itself does; else in pg_catalog alone.

    Raises:
        Unavailable, Usage: as `connect`.
    """
    options = session_options(
        server.binaries.major,
        default_transaction_read_only="on",
        statement_timeout=f"{max(1, round(timeout_s * 1000))}",
        lock_timeout="10000",
        search_path="" if own_path else "pg_catalog",
    )
    dsn = make_dsn(server.dsn(), options=options, client_encoding=encoding)
    with connect(dsn, dbname=dbname) as connection, stoppable(connection, cancelled):
        yield connection


@contextlib.contextmanager
def stoppable(connection: Connection, cancelled: Callable[[], bool]) -> Iterator[None]:
    """End the statement under way as soon as `cancelled` turns true, while the block lasts."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_EVERY_S):
            if cancelled():
                with contextlib.suppress(psycopg.Error):
                    connection.cancel()
                return

    thread = threading.Thread(target=watch, name="look", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
