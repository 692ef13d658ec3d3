"""What the page invites one to try next: read from the ledger, so that it follows whatever people do, in whatever order."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.demo.stage import CLUSTER
from bot.demo.story import APPROVALS, DBA, ENGINEER, RESULTS
from bot.errors import Unavailable
from bot.ledger import Ledger, audit, catalogue, requests, servers
from bot.model.ids import ClusterName
from bot.model.requests import Request, State
from bot.model.servers import ServerState
from bot.sandbox.driver import Driver

LOOK_S = 0.7

_ASKED = {State.PROPOSED, State.PENDING, State.APPROVED, State.RUNNING, State.VERIFYING, State.SUCCEEDED}
_SENT = _ASKED - {State.PROPOSED}
_AGREED = _SENT - {State.PENDING}


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the people at the page have come; `lost_in` is the transaction that dropped the table.

    `request` is the furthest of those made since then; `copies` is how many of their servers are running.
    """

    backed_up: bool = False
    lost_in: int | None = None
    request: State | None = None
    tried_alone: bool = False
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Panel:
    """The panel as the driver takes it."""

    title: str
    intro: str
    steps: tuple[dict[str, Any], ...]


def panel(seen: Seen) -> Panel:
    """Say what was done and what comes next. Pure."""
    lost, state = seen.lost_in is not None, seen.request
    target = f"before:xid:{seen.lost_in}" if lost else "latest"
    in_results = {"channel": RESULTS, "person": ENGINEER}
    steps = (
        _step("Take a base backup", seen.backed_up, command=f"/backup now {CLUSTER}", **in_results),
        _step("Lose a table: press “Drop a table”", lost),
        _step("Ask for the moment before it", state in _ASKED, command=f"/pitr {CLUSTER} {target}", **in_results),
        _step("Read the plan, give a reason, send it", state in _SENT, channel="@app", person=ENGINEER),
        _step(
            "Press Approve yourself: it is refused",
            seen.tried_alone or state in _AGREED,
            channel=APPROVALS,
            person=ENGINEER,
        ),
        _step("Be the DBA, read the same plan, approve", state in _AGREED, channel=APPROVALS, person=DBA),
        _step("Open the thread and watch the rows come back", state is State.SUCCEEDED, channel=APPROVALS),
    )
    return Panel(*_heading(seen), steps)


def _heading(seen: Seen) -> tuple[str, str]:
    if seen.request is State.SUCCEEDED:
        if not seen.copies:
            return "The rows were back", "The copy is stopped or removed by now. Ask once more, or end here."
        return "The rows are back", "Press “Compare” below, or use the psql line in the card on this machine."
    if seen.lost_in is not None:
        return "The table is gone", "Bring it back as it stood just before, beside the live one."
    return "Lose a table, bring it back", "A shop on PostgreSQL 18, the real bot, and you as everybody in the team."


def _step(text: str, done: bool, **more: str) -> dict[str, Any]:
    return {"text": text, "done": done, **more}


def look(ledger: Ledger, lost_in: int | None, lost_at: datetime | None = None) -> Seen:
    """Read how far things are: of several requests made since the loss the furthest counts."""
    with ledger.read() as tx:
        found = requests.recent(tx, cluster=ClusterName(CLUSTER), limit=20) if lost_in is not None else []
        found = [each for each in found if lost_at is None or each.created_at >= lost_at]
        ids = {each.id for each in found}
        copies = sum(each.id in ids and each.state is ServerState.RUNNING for each in servers.list(tx))
        backed_up = bool(catalogue.list(tx, ClusterName(CLUSTER)))
        alone = any(_refused_alone(entry.action, entry.detail) for entry in audit.entries(tx))
    return Seen(backed_up, lost_in, _furthest(found), alone, copies)


def _furthest(found: list[Request]) -> State | None:
    order = [State.PROPOSED, State.PENDING, State.APPROVED, State.RUNNING, State.VERIFYING, State.SUCCEEDED]
    states = [each.state for each in found if each.state in order]
    return max(states, key=order.index, default=None)


def _refused_alone(action: str, detail: str) -> bool:
    return action == "request.approve.refused" and json.loads(detail).get("code") == "self-approval"


class Guide(threading.Thread):
    """Keeps the page's panel true until `close`."""

    def __init__(self, driver: Driver, ledger: Ledger) -> None:
        super().__init__(name="demo-guide", daemon=True)
        self._driver = driver
        self._ledger = ledger
        self._over = threading.Event()
        self._look_now = threading.Event()
        self._lost_in: int | None = None
        self._lost_at: datetime | None = None
        self._shown: Panel | None = None

    def lost(self, xid: int, at: datetime) -> None:
        """Note which transaction dropped the table, and when."""
        self._lost_in, self._lost_at = xid, at
        self._look_now.set()

    def run(self) -> None:
        """Look again and again, and tell the page what changed."""
        while not self._over.is_set():
            with contextlib.suppress(Unavailable):  # the ledger is busy: the next look tells
                self.show()
            self._look_now.wait(LOOK_S)
            self._look_now.clear()

    def show(self) -> None:
        """Look once."""
        now = panel(look(self._ledger, self._lost_in, self._lost_at))
        if now != self._shown:
            self._driver.try_this(now.title, list(now.steps), intro=now.intro)
            self._shown = now

    def close(self) -> None:
        """Stop looking, and wait for the last look."""
        self._over.set()
        self._look_now.set()
        self.join(timeout=10)
