"""Count the rows of the dumped tables, in the dump's own snapshot, while pg_dump reads it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

import psycopg

from bot.model.dumps import Table
from bot.postgres.dump_session import DumpSession
from bot.postgres.dump_snapshot import Snapshot, translated


class Counting:
    """Counts in a thread of its own while the block lasts; its end cancels what is not done."""

    def __init__(self, snapshot: Snapshot, session: DumpSession, tables: Sequence[Table]) -> None:
        self._snapshot = snapshot
        self._session = session
        self._tables = tables
        self._rows: dict[int, int] = {}
        self._failure: BaseException | None = None
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="counting", daemon=True)

    def __enter__(self) -> Counting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        while self._thread.is_alive():
            with contextlib.suppress(psycopg.Error):  # it is gone already
                self._snapshot.connection.cancel_safe(timeout=5)
            self._thread.join(0.5)

    def done(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds; say whether every table was counted.

        Raises:
            PitstopError: a count was refused, or the server went away.
        """
        self._thread.join(timeout_s)
        self.check()
        return not self._thread.is_alive()

    def check(self) -> None:
        """Go on, unless a count failed; see `done`."""
        if self._failure is not None:
            with translated(self._session):
                raise self._failure

    @property
    def rows(self) -> dict[int, int]:
        """The counts by the table's OID, complete once `done`."""
        return self._rows

    def _run(self) -> None:
        try:
            for table in self._tables:
                if self._stop:
                    return
                self._rows[table.oid] = self._snapshot.count(table)
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: `done` raises it again
            self._failure = error
