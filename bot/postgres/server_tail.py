"""The end of the live server's own log, read through the server where it collects it."""

from __future__ import annotations

import psycopg

from bot.errors import PitstopError
from bot.host.tails import whole_lines
from bot.postgres.connect import connect


def server_log_tail(dsn: str, most: int) -> str | None:
    """Return up to the last `most` bytes of the server's current log; None where it does not collect one or we may not read it."""
    try:
        with connect(dsn) as connection:
            row = connection.execute(_SIZE).fetchone()
            if row is None:
                return None
            name, size = row
            start = max(0, size - most)
            read = connection.execute("SELECT pg_read_binary_file(%s, %s, %s, true)", [name, start, most]).fetchone()
    except (PitstopError, psycopg.Error):
        return None
    return whole_lines(bytes(read[0]), cut=start > 0) if read and read[0] is not None else None


_SIZE = """
SELECT l.name, (pg_stat_file(l.name, true)).size FROM (SELECT pg_current_logfile('stderr') AS name) l WHERE l.name IS NOT NULL
"""
