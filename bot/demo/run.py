"""`pitstop demo`: the stage with a page to play on, or the story on the terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bot.demo import shop
from bot.demo.guide import Guide
from bot.demo.stage import Stage, stage
from bot.demo.story import APPROVALS, DBA, ENGINEER, RESULTS, TABLE, tell_story
from bot.ledger import servers
from bot.model.servers import ServerState
from bot.sandbox.values import Action


def run(*, story: bool = False, port: int = 0, directory: Path | None = None) -> int:
    """Run the demo until Ctrl-C, or the story until its end; return the exit code.

    Raises:
        PitstopError: it could not be set up, or the story did not come true.
    """
    if story:
        tell_story(directory=directory, say=_say)
        return 0
    with playground(directory=directory, port=port) as scene:
        _say(f"\nThe workspace is at  {scene.url}\n")
        _say("Open it in a browser: the first screen says what to try. You play everybody:")
        _say(f"  {ENGINEER}, on call, asks in #{RESULTS};  {DBA}, a DBA, approves in #{APPROVALS}.\n")
        _say("Ctrl-C ends it and removes everything it started.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            _say("\nEnding …")
    return 0


@contextmanager
def playground(*, directory: Path | None = None, port: int = 0) -> Iterator[Stage]:
    """Set the stage with its buttons and with a panel that says what comes next. Raises like `stage`."""
    play = Play()
    with stage(directory=directory, port=port, actions=play.actions) as scene:
        guide = Guide(scene.driver, scene.ledger)
        play.begin(scene, guide)
        try:
            yield scene
        finally:
            guide.close()


class Play:
    """The page's own buttons, outside Slack: the migration that goes wrong, and the comparison at the end."""

    def __init__(self) -> None:
        self._scene: Stage | None = None
        self._guide: Guide | None = None
        self._dsn = ""
        self._dropped: shop.Dropped | None = None

    def actions(self, dsn: str) -> Sequence[Action]:
        """Return the buttons; `dsn` leads to the live server."""
        self._dsn = dsn
        return (
            Action("drop", "Drop a table", f'A migration runs DROP TABLE "{TABLE}"', self.drop, style="danger"),
            Action("compare", "Compare", f'Count "{TABLE}" here and in the copy beside', self.compare),
        )

    def begin(self, scene: Stage, guide: Guide) -> None:
        """Show the first steps, and keep them true from now on."""
        self._scene, self._guide = scene, guide
        guide.show()
        guide.start()

    def drop(self) -> str:
        """Drop the table, once, and say which transaction did it."""
        again = self._dropped is not None
        if self._dropped is None:
            self._dropped = shop.drop_table(self._dsn, TABLE)
            if self._guide:
                self._guide.lost(self._dropped.xid, self._dropped.at)
        gone = self._dropped
        when = f"{gone.at:%H:%M:%S} UTC in transaction {gone.xid}"
        if again:
            return f'"{TABLE}" is dropped already, since {when}.'
        return f'DROP TABLE "{TABLE}" committed at {when}: {gone.before.rows:,} rows are gone.'

    def compare(self) -> str:
        """Say what the live server and the copy hold, and whether the copy equals what was dropped."""
        here, beside = _rows(self._dsn), next(iter(self._copies()), None)
        live = f"Live: {here.rows:,} rows." if here else f'Live: "{TABLE}" is gone.'
        if beside is None:
            return f"{live} There is no copy beside yet."
        copy = _rows(beside)
        if copy is None:
            return f'{live} Copy: no "{TABLE}" either; it was taken back to a moment after the loss.'
        equal = ", equal to what was dropped" if self._dropped and copy == self._dropped.before else ""
        return f"{live} Copy: {copy.rows:,} rows{equal}."

    def _copies(self) -> list[str]:
        """Return where the servers beside are, the newest first."""
        if self._scene is None:
            return []
        with self._scene.ledger.read() as tx:
            found = [each for each in servers.list(tx) if each.state is ServerState.RUNNING]
        return [each.dsn for each in sorted(found, key=lambda each: each.started_at, reverse=True)]


def _rows(dsn: str) -> shop.Fingerprint | None:
    """Return what the table holds on a server, or None where it is not there."""
    try:
        with psycopg.connect(dsn, dbname=shop.DATABASE) as connection:
            return shop.fingerprint(connection, TABLE)
    except psycopg.errors.UndefinedTable:
        return None


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
