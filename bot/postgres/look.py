"""Looking into a copy: connections that only read, name what they mean in full, give up in time, and can be stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg

from bot.postgres.connect import Connection, connect, make_dsn
from bot.postgres.isolated import IsolatedServer

_LOOK_EVERY_S = 0.2


@contextlib.contextmanager
def looking(
    server: IsolatedServer,
    dbname: str,
    *,
    timeout_s: float,
    cancelled: Callable[[], bool],
    encoding: str = "UTF8",
    settings: dict[str, str] | None = None,
) -> Iterator[Connection]:
    """Open a read-only connection to a database of the copy as its superuser; each statement may take `timeout_s` seconds.

    While the block lasts, `cancelled` turning true ends the statement under way, which then raises `QueryCanceled`. What is
    set here beats what databases and roles of the copy set for themselves.

    Raises:
        Unavailable, Usage: as `connect`.
    """
    chosen = {"default_transaction_read_only": "on", "statement_timeout": f"{round(timeout_s * 1000)}"}
    chosen |= {"idle_in_transaction_session_timeout": "0", "lock_timeout": "10000", **(settings or {})}
    options = " ".join(f"-c {name}={value}" for name, value in chosen.items())
    dsn = make_dsn(server.dsn(), options=options, client_encoding=encoding)
    with connect(dsn, dbname=dbname) as connection, _stoppable(connection, cancelled):
        yield connection


@contextlib.contextmanager
def _stoppable(connection: Connection, cancelled: Callable[[], bool]) -> Iterator[None]:
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
