"""The inbox worker: carries out what was recorded, also after a restart, and tells people what came of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import structlog

from bot.errors import PitstopError, Unavailable
from bot.ledger import inbox
from bot.slack.blocks import Message
from handlers.edge import WENT_WRONG
from handlers.facts import note
from handlers.payloads import Doer
from handlers.replies import reply, reply_error
from handlers.verbs import carry_out
from handlers.wiring import Wiring

log = structlog.get_logger("pitstop.inbox")

WORKERS = 8
GIVE_UP_AFTER = timedelta(seconds=90)
_POLL_S = 0.5


class InboxWorker:
    """Drains the inbox: oldest first, eight at a time; an item that Slack's absence keeps from being judged is tried for 90 s."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._busy: set[int] = set()
        self._not_before: dict[int, float] = {}
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what was begun."""
        with ThreadPoolExecutor(WORKERS, "inbox") as pool:
            while not stop.is_set():
                if not self._hand_out(pool):
                    self._wiring.recorder.arrived.wait(_POLL_S)
                    self._wiring.recorder.arrived.clear()

    def drain(self) -> None:
        """Carry out everything that is open now, in order, in this thread; for tests and for a bot that ends."""
        with self._wiring.ledger.read() as tx:
            items = inbox.open(tx)
        for item in items:
            self._handle(item)

    def _hand_out(self, pool: ThreadPoolExecutor) -> bool:
        try:
            with self._wiring.ledger.read() as tx:
                waiting = inbox.open(tx)
        except Unavailable as error:
            log.warning("ledger away, waiting", error=error.message)
            time.sleep(1.0)
            return False
        now, begun = time.monotonic(), False
        for item in waiting:
            if self._take(item, now):
                pool.submit(self._work, item)
                begun = True
        return begun

    def _take(self, item: inbox.Item, now: float) -> bool:
        with self._lock:
            if item.id in self._busy or self._not_before.get(item.id, 0.0) > now:
                return False
            self._busy.add(item.id)
            return True

    def _work(self, item: inbox.Item) -> None:
        try:
            self._handle(item)
        except Exception as error:
            log.error("an item stays in the inbox", item=item.id, kind=item.kind, exc_info=error)
            self._not_before[item.id] = time.monotonic() + 5.0
        finally:
            with self._lock:
                self._busy.discard(item.id)

    def _handle(self, item: inbox.Item) -> None:
        """Carry one item out, note what came of it, tell the person."""
        doer = Doer.from_json(item.payload)
        try:
            told = carry_out(self._wiring, item)
        except Unavailable as error:
            self._again_or_give_up(item, doer, error)
        except PitstopError as error:
            self._end(item, {"error": error.as_json()})
            reply_error(self._wiring.client, doer, error)
        except Exception as error:
            log.error("an item failed", item=item.id, kind=item.kind, exc_info=error)
            self._end(item, {"error": {"code": "unexpected", "message": type(error).__name__, "hint": ""}})
            reply(self._wiring.client, doer, Message(WENT_WRONG))
        else:
            self._end(item, {"done": True})
            if told is not None:
                reply(self._wiring.client, doer, told)

    def _again_or_give_up(self, item: inbox.Item, doer: Doer, error: Unavailable) -> None:
        if self._wiring.now() - item.received_at < GIVE_UP_AFTER:
            self._not_before[item.id] = time.monotonic() + max(1.0, min(getattr(error, "retry_after_s", 1.0), 30.0))
            return
        final = Unavailable(
            f"This could not be carried out within {GIVE_UP_AFTER.seconds} s: {error.message}",
            hint="Nothing was decided. Try again, or use `pitstop request` on the host.",
            code=error.reason_code,
        )
        note(self._wiring, doer, item.kind, item.key, final)
        self._end(item, {"error": final.as_json()})
        reply_error(self._wiring.client, doer, final)

    def _end(self, item: inbox.Item, outcome: dict[str, Any]) -> None:
        with self._wiring.ledger.transaction() as tx:
            inbox.done(tx, item.id, outcome, self._wiring.now())
        self._not_before.pop(item.id, None)


def work_off_inbox(wiring: Wiring, stop: threading.Event) -> None:
    """Carry out what is recorded, until `stop` is set."""
    InboxWorker(wiring).run(stop)
