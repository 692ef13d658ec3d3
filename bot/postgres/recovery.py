"""Supervised recovery: watch replay, notice when it stalls or dies, and prove that it ended exactly at the target."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from bot.errors import Failed, PitstopError, Unavailable, Usage
from bot.host.accounts import Account
from bot.model.targets import ResolvedTarget
from bot.model.wal import DEFAULT_SEGMENT_BYTES, Lsn
from bot.postgres.connect import Connection, connect, make_dsn
from bot.postgres.isolated import IsolatedServer
from bot.postgres.own_session import session_options
from bot.postgres.plain import postmaster_status
from bot.postgres.server_log import RecoveryLog, explain
from bot.postgres.wal_service import WalService

_POLL_S = 0.1
_PAGE_BYTES = 8192
_PAGE_HEADER_BYTES, _SEGMENT_HEADER_BYTES = 24, 40


@dataclass(frozen=True, slots=True)
class RecoveryProof:
    """That replay ended at the target: `reached_lsn` as the server says, `log_line` its own words, `seconds` it took.

    `timeline` is the new one, on which the promoted server writes.
    """

    reached_lsn: Lsn
    log_line: str
    seconds: float
    timeline: int


def recover(
    server: IsolatedServer,
    *,
    target: ResolvedTarget,
    on_progress: Callable[[Lsn], None] = lambda _: None,
    stall_after_s: float = 120,
    wal: WalService | None = None,
    segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    check: Callable[[], None] = lambda: None,
) -> RecoveryProof:
    """Start `server` (prepared with this target), replay to exactly the target, promote, and wait until it takes writes.

    Slow. `on_progress` gets the position replay has reached. `check` is called several times a second and may raise to
    stop. The server is restarted by itself where the WAL asks for greater settings or creates a tablespace. Whatever is
    raised, the server is down then.

    Raises:
        Unavailable: WAL could not be fetched, or something this machine lacks.
        Corruption: WAL is missing or damaged.
        Failed: replay stalled, died, or ended elsewhere than at the target.
    """
    watch = _Watch(server, target, on_progress, stall_after_s, wal, segment_bytes, check)
    try:
        return watch.run()
    except BaseException:
        watch.close()
        server.stop()
        raise
    finally:
        watch.close()


class _Watch:
    """One recovery, watched from start to promotion."""

    def __init__(
        self,
        server: IsolatedServer,
        target: ResolvedTarget,
        on_progress: Callable[[Lsn], None],
        stall_after_s: float,
        wal: WalService | None,
        segment_bytes: int,
        check: Callable[[], None],
    ) -> None:
        self.server, self.target, self.on_progress, self.wal = server, target, on_progress, wal
        self.stall_after_s, self.segment_bytes, self.check = stall_after_s, segment_bytes, check
        self.log = RecoveryLog.from_now(server.folder.log, segment_bytes)
        self.connection: Connection | None = None
        self.reached = Lsn(0)
        self.moved_at = time.monotonic()

    def run(self) -> RecoveryProof:
        """Recover, prove, promote."""
        began = time.monotonic()
        if not self.server.running:
            self._start()
        while not self._at_end():
            self.check()
            self._look_after()
            time.sleep(_POLL_S)
        reached, line = self._prove()
        timeline = self._promote()
        self.server.end_recovery()
        return RecoveryProof(reached, line, time.monotonic() - began, timeline)

    def close(self) -> None:
        """Let go of the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _start(self) -> None:
        """Start the server; one that died at once is looked at like one that dies later."""
        try:
            self.server.start()
        except Failed:
            if self.server.running:
                raise

    def _at_end(self) -> bool:
        """Say whether replay is over: paused at the target, or promoted already."""
        self.log.read()
        state = self._ask("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text")
        if state is None:
            self._progress(self.log.position)
            return False
        in_recovery, position = state
        if position is not None:
            self._progress(Lsn.parse(str(position)))
        if not in_recovery:
            return True
        paused = self._ask("SELECT pg_get_wal_replay_pause_state()") == ("paused",)
        return paused and self.log.stopped_before is not None

    def _look_after(self) -> None:
        """Restart a server that asks for something we can give; raise when it died or hangs."""
        alive = self.server.running
        self.log.read()
        if self.log.lower and (self._paused_for_settings() or not alive):
            self._again(lambda: self.server.raise_floors(self.log.lower))
        elif not alive and self.log.missing_directory is not None:
            location = self.log.missing_directory
            self._again(lambda: self.server.add_stand_in(location))
        elif not alive:
            raise self._why_dead()
        elif self.wal is not None and self.wal.waiting_for is not None:
            self.moved_at = max(self.moved_at, time.monotonic() - self.stall_after_s / 2)
        elif time.monotonic() - self.moved_at > self.stall_after_s:
            raise self._stalled()

    def _paused_for_settings(self) -> bool:
        return self.log.stopped_before is None and self._ask("SELECT pg_get_wal_replay_pause_state()") == ("paused",)

    def _again(self, mend: Callable[[], None]) -> None:
        self.close()
        self.server.stop()
        mend()
        self.log = RecoveryLog.from_now(self.server.folder.log, self.segment_bytes)
        self.moved_at = time.monotonic()
        self._start()

    def _why_dead(self) -> PitstopError:
        if "could not restore file" in self.log.fatal and self.wal is not None and self.wal.last_error is not None:
            return self.wal.last_error
        return explain(self.log.fatal)

    def _stalled(self) -> Failed:
        return Failed(
            f"Replay has not moved from {self.reached} for {self.stall_after_s:.0f} s (target {self.target.lsn}).",
            hint=f"What does the server's log say? {self.server.folder.log}",
            code="replay-stalled",
        )

    def _progress(self, position: Lsn) -> None:
        if position > self.reached:
            self.reached, self.moved_at = position, time.monotonic()
            self.on_progress(position)

    def _prove(self) -> tuple[Lsn, str]:
        """Compare where replay ended with the target; the server's log must agree.

        Raises:
            Failed: it ended elsewhere.
        """
        self.log.read()
        answer = self._ask("SELECT pg_last_wal_replay_lsn()::text")
        reached = Lsn.parse(str(answer[0])) if answer and answer[0] else Lsn(0)
        if self.target.record_exists:
            proved = self.log.stopped_before == self.target.lsn and reached <= self.target.lsn
        else:
            proved = next_record(reached, self.segment_bytes) == next_record(self.target.lsn, self.segment_bytes)
        if not proved:
            raise Failed(
                f"Recovery ended at {reached}, not at the target {self.target.lsn}: {self.log.line or 'no log line'}.",
                hint="Nothing was overwritten. Is the WAL complete? `pitstop wal status` says.",
                code="target-not-proved",
            )
        return reached, self.log.line

    def _promote(self) -> int:
        """End the pause and wait until the server takes writes; return its new timeline."""
        if self._ask("SELECT pg_is_in_recovery()") == (True,):
            self._ask("SELECT pg_wal_replay_resume()")
        deadline = time.monotonic() + max(self.stall_after_s, 60)
        while self._ask("SELECT pg_is_in_recovery()") != (False,):
            self.log.read()
            self.check()
            if not self.server.running:
                raise self._why_dead()
            if time.monotonic() > deadline:
                raise Failed("The recovered server was not promoted in time.", code="promote-timeout")
            time.sleep(_POLL_S / 2)
        self._ask("SELECT pg_current_xact_id()::text")
        answer = self._ask("SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int")
        if answer is None:
            raise Failed("The recovered server does not answer after its promotion.", code="promote-timeout")
        return int(str(answer[0]))

    def _ask(self, sql: str) -> tuple[object, ...] | None:
        """Return the first row of `sql`, or None while the server takes no connections."""
        if self.connection is None and not self._connect():
            return None
        assert self.connection is not None
        try:
            return self.connection.execute(sql.encode()).fetchone()
        except psycopg.Error:
            self.close()
            return None

    def _connect(self) -> bool:
        if postmaster_status(self.server.folder.data, self.server.identity) not in {"standby", "ready"}:
            return False
        try:
            self.connection = supervise(self.server)
        except Unavailable:
            return False
        return True


def supervise(server: IsolatedServer) -> Connection:
    """Open the supervisor's connection, as the superuser; to `template1` where there is no `postgres` database.

    Raises:
        Unavailable: it takes no connections now.
        Failed: the recorded superuser cannot log in.
    """
    dsn = make_dsn(server.dsn(), options=session_options(server.binaries.major))
    try:
        return connect(dsn, dbname="postgres", application_name="pitstop")
    except Usage as error:
        if "database" not in error.message:
            raise _no_superuser(server, error) from None
    try:
        return connect(dsn, dbname="template1", application_name="pitstop")
    except Usage as error:
        raise _no_superuser(server, error) from None


def next_record(position: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> Lsn:
    """Return where a record can start at or after the end of another: past the header, when `position` begins a page. Pure."""
    aligned = Lsn((position + 7) // 8 * 8)
    if aligned % segment_bytes == 0:
        return Lsn(aligned + _SEGMENT_HEADER_BYTES)
    if aligned % _PAGE_BYTES == 0:
        return Lsn(aligned + _PAGE_HEADER_BYTES)
    return aligned


def _no_superuser(server: IsolatedServer, error: Usage) -> Failed:
    who = Account.current().name
    return Failed(
        f"{who} cannot log in to the restored server as {server.spec.superuser}: {error.message}",
        hint="Was the superuser renamed or forbidden to log in between the backup and the target? Take another target.",
        code="no-superuser",
    )
