"""`pitstop demo`: the stage with a page to play on, or the story on the terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bot.demo import shop
from bot.demo.stage import CLUSTER, Stage, stage
from bot.demo.story import APPROVALS, DBA, ENGINEER, RESULTS, TABLE, tell_story
from bot.sandbox.values import Action


def run(*, story: bool = False, port: int = 0, directory: Path | None = None) -> int:
    """Run the demo until Ctrl-C, or the story until its end; return the exit code.

    Raises:
        PitstopError: it could not be set up, or the story did not come true.
    """
    if story:
        tell_story(directory=directory, say=_say)
        return 0
    lost = Lost()
    with stage(directory=directory, port=port, actions=lost.actions) as scene:
        lost.scene = scene
        scene.driver.try_this("Try this", lost.steps(), intro="A table is dropped, and comes back.")
        _say(f"\nThe workspace is at  {scene.url}\n")
        _say(f"  1. as {ENGINEER}, in #{RESULTS}:  /backup now {CLUSTER}")
        _say("  2. press “Drop a table”; the page says which transaction did it")
        _say(f"  3. as {ENGINEER}:  /pitr {CLUSTER} before:xid:…   then give a reason and send it")
        _say(f"  4. as {DBA}, in #{APPROVALS}:  Approve, and watch\n")
        _say("Ctrl-C ends it and removes everything it started.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            _say("\nEnding …")
    return 0


class Lost:
    """What the page's own button does, and the panel that follows it."""

    def __init__(self) -> None:
        self.scene: Stage | None = None
        self._dsn = ""
        self._dropped: shop.Dropped | None = None

    def actions(self, dsn: str) -> Sequence[Action]:
        """Return the demo's button, outside Slack: the migration that goes wrong."""
        self._dsn = dsn
        return (Action("drop", "Drop a table", f'A migration runs DROP TABLE "{TABLE}"', self.drop, style="danger"),)

    def drop(self) -> str:
        """Drop the table, once, and say which transaction did it."""
        if self._dropped is None:
            self._dropped = shop.drop_table(self._dsn, TABLE)
            if self.scene:
                self.scene.driver.try_this("Try this", self.steps(), intro="The table is gone. Bring it back.")
        gone = self._dropped
        return f'DROP TABLE "{TABLE}" committed at {gone.at:%H:%M:%S} UTC in transaction {gone.xid}: {gone.before.rows} rows.'

    def steps(self) -> list[dict[str, object]]:
        """Return what the panel says now."""
        target = f"before:xid:{self._dropped.xid}" if self._dropped else "latest"
        return [
            {
                "text": "Take a base backup",
                "command": f"/backup now {CLUSTER}",
                "channel": RESULTS,
                "person": ENGINEER,
                "done": bool(self._dropped),
            },
            {"text": "Press “Drop a table” below", "done": bool(self._dropped)},
            {
                "text": "Ask for the moment before it",
                "command": f"/pitr {CLUSTER} {target}",
                "channel": RESULTS,
                "person": ENGINEER,
            },
            {"text": "Open the DM from Pitstop, give a reason, send it for approval", "person": ENGINEER},
            {"text": "Try to approve it yourself: it is refused", "channel": APPROVALS, "person": ENGINEER},
            {"text": "Become the DBA and approve", "channel": APPROVALS, "person": DBA},
        ]


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
