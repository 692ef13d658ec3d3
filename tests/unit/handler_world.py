"""The real Bolt app over signed requests, with a ledger on disk and Slack as a value: what a click does, without a socket."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from slack_bolt import App, BoltRequest, BoltResponse

from bot.config import Config
from bot.ledger import audit, cards
from bot.model.ids import RequestId
from bot.model.people import Person
from bot.slack.identity import Identity
from bot.slack.sender import Sender
from handlers import InboxWorker, build_app
from handlers.recording import Recorder
from handlers.wiring import Wiring
from tests.unit.desk_world import SLIPS, TEAM, World, new_world, plan, policy
from tests.unit.slack_world import Posted, Slack

SECRET, APP = "5h-quite-a-secret", "A1"
THREADS = 4
CHANNELS = {"approvals": "CAPPROVE", "results": "CRESULTS", "alerts": "CALERTS"}


def signed(body: str, *, at: float | None = None, secret: str = SECRET) -> dict[str, str | Sequence[str]]:
    """Return the headers with which Slack signs a body."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {
        "content-type": ["application/x-www-form-urlencoded"],
        "x-slack-request-timestamp": [stamp],
        "x-slack-signature": [f"v0={digest}"],
    }


@dataclass
class Clock:
    """Seconds for the sender and for Slack's limits; a tick is longer than any pause between two messages."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        """Return the present time."""
        return self.seconds

    def tick(self) -> None:
        """Let a minute and a second pass."""
        self.seconds += 61.0


@dataclass
class Office:
    """The app, its ledger and its Slack; the inbox is worked off when a test says so."""

    world: World
    slack: Slack
    wiring: Wiring
    app: App
    inbox: InboxWorker
    clock: Clock
    sender: Sender
    triggers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def send(self, body: str, **how: Any) -> BoltResponse:
        """Send one signed request."""
        return self.app.dispatch(BoltRequest(body=body, headers=signed(body, **how)))

    def interact(self, payload: dict[str, Any], by: Person, **changes: Any) -> BoltResponse:
        """Send what Slack sends when somebody presses or submits; `changes` overwrite the payload."""
        whole = {
            "team": {"id": TEAM},
            "api_app_id": APP,
            "user": {"id": by.user, "team_id": by.team, "name": by.user.lower()},
            "trigger_id": f"trigger-{next(self.triggers)}",
            **payload,
            **changes,
        }
        return self.send(urlencode({"payload": json.dumps(whole)}))

    def command(self, text: str, by: Person, name: str = "/pitr", **changes: str) -> BoltResponse:
        """Send a slash command."""
        form = {"command": name, "text": text, "team_id": TEAM, "api_app_id": APP, "user_id": by.user}
        form |= {"channel_id": "CANY", "trigger_id": f"trigger-{next(self.triggers)}"}
        return self.send(urlencode({**form, **changes}))

    def press(self, posted: Posted, action: str, by: Person, **changes: Any) -> BoltResponse:
        """Press a button on a message; its value is what the message carries for the action, unless it carries none."""
        value = dict(posted.buttons).get(action, "")
        return self.press_at(posted.channel, posted.ts, action, value, by, **changes)

    def press_at(self, channel: str, ts: str, action: str, value: str, by: Person, **changes: Any) -> BoltResponse:
        """Press a button anywhere."""
        pressed = {"action_id": action, "value": value, "block_id": "b", "type": "button", "action_ts": "1"}
        place = {"type": "message", "channel_id": channel, "message_ts": ts}
        return self.interact({"type": "block_actions", "actions": [pressed], "container": place}, by, **changes)

    def submit(self, callback: str, token: str, by: Person, **values: str) -> BoltResponse:
        """Submit a form with its token."""
        state = {"values": {block: {block: {"value": value}} for block, value in values.items()}}
        view = {"id": "V", "callback_id": callback, "private_metadata": token, "state": state, "hash": "h"}
        return self.interact({"type": "view_submission", "view": {**view, "type": "modal"}}, by)

    def settle(self) -> None:
        """Wait for what was sent, carry out what is recorded, and bring every card up to date."""
        self.listeners()
        self.errands()
        self.inbox.drain()
        self.clock.tick()
        while self.sender.step():
            self.clock.tick()

    def listeners(self) -> None:
        """Wait until every listener is done: Bolt answers at the acknowledgement, and the listener works on after it.

        As many tasks as there are threads meet here, so each thread has ended what it was at before.
        """
        met = threading.Barrier(THREADS)
        pool = self.app.listener_runner.listener_executor
        for meeting in [pool.submit(met.wait, 30) for _ in range(THREADS)]:
            meeting.result(30)

    def errands(self) -> None:
        """Wait until every errand is done; they have one thread here."""
        self.wiring.errands.submit(lambda: None).result(10)

    def card(self, request: RequestId, place: str) -> Posted:
        """Return the message that shows a request at a place."""
        with self.world.ledger.read() as tx:
            card = cards.find(tx, "request", request, place)
        assert card is not None
        assert card.channel is not None
        assert card.ts is not None
        return self.slack.messages[card.channel, card.ts]

    def refusals(self) -> list[tuple[str, str]]:
        """Return who was refused with which code, from the audit, oldest first."""
        with self.world.ledger.read() as tx:
            found = [
                (entry.actor, json.loads(entry.detail)) for entry in audit.entries(tx) if "refused" in entry.action
            ]
        return [(actor.partition("/")[2], detail["code"]) for actor, detail in found]

    def told(self, by: Person) -> str:
        """Return the last direct message to somebody."""
        texts = [sent["text"] for sent in self.slack.called("chat.postMessage") if sent["channel"] == "D" + by.user]
        return str(texts[-1])


@contextmanager
def new_office() -> Iterator[Office]:
    """Open an office in which everyone may ask, Carol and Dan approve, and Gus is a guest."""
    with new_world() as world:
        approval = {"requesters": ["everyone"], "approvers": ["UCAROL", "UDAN"]}
        channels = {place: f"#{place}" for place in CHANNELS}
        config = Config.model_validate(
            {
                "ledger": str(world.ledger.path),
                "slack": {"channels": channels},
                "repositories": {"local": {"url": "file:///repository"}},
                "encryption": {"key": "file:/key"},
                "clusters": {SLIPS: {"dsn": "host=/nowhere", "timezone": "Asia/Bangkok", "approval": approval}},
            }
        )
        clock = Clock()
        slack = Slack(clock)
        for user in ("UALICE", "UBOB", "UCAROL", "UDAN", "UGUEST"):
            slack.users[user] = {"team_id": TEAM, "real_name": user[1:].title(), "tz": "Asia/Bangkok"}
        slack.users["UGUEST"]["is_restricted"] = True
        slack.users["UOTHER"] = {"team_id": "T2", "real_name": "Olga", "is_stranger": True}
        recorder = Recorder(world.ledger, lambda: world.now)
        identity = Identity(TEAM, "UBOT", "B1", APP)
        errands = ThreadPoolExecutor(1, "errand")
        wiring = Wiring(config, world.ledger, slack, identity, recorder, lambda: world.now, errands=errands)
        world.policy = config.cluster(SLIPS).policy
        app = build_app(wiring, signing_secret=SECRET, threads=THREADS)
        sender = Sender(world.ledger, slack, CHANNELS, wiring.policy, lambda: world.now, clock=clock)
        try:
            yield Office(world, slack, wiring, app, InboxWorker(wiring), clock, sender)
        finally:
            wiring.close()
            app.listener_runner.listener_executor.shutdown(wait=True)


__all__ = ["Office", "new_office", "plan", "policy", "signed"]
