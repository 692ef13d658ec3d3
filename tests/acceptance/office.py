"""An office for acceptance tests: a Slack workspace, a live PostgreSQL, and the real bot (`python -m bot run`) between them.

Tests speak as people do: `office.types("nok", "/pitr slips latest")`, and look where people look: at cards, direct messages
and what only they can see. Where Slack would not tell (which state a row is in), they look into the ledger.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import psycopg

from bot import desk
from bot.config import Config, load
from bot.demo.ending import end_bot, end_runs
from bot.host.accounts import server_account
from bot.ledger import Ledger, alerts, audit, cards, requests, runs, servers
from bot.model.alerts import Alert
from bot.model.callers import Caller
from bot.model.commands import parse_target
from bot.model.ids import ClusterName, RequestId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.requests import Request, State
from bot.model.runs import Job, Run, RunState
from bot.model.servers import Server
from bot.postgres.plain import PlainServer, initdb
from bot.repository.keys.file import create_key_file
from bot.sandbox.driver import Driver, Message, Outcome
from bot.sandbox.server import Sandbox
from bot.sandbox.values import HOUSE_TEAM
from bot.slack.blocks import Message as Rendered
from bot.slack.cards import actions
from bot.slack.manifest import manifest
from bot.slack.subjects import render
from jobs.context import utc_now
from tests.places import for_servers
from tests.servers import FAST, binaries_or_skip

RESULTS, ALERTS, APPROVALS = "db-backups", "db-alerts", "db-approvals"
SLIPS = ClusterName("slips")
LATE_S = 60.0

_REQUEST = re.compile(r"\(request `([a-z0-9]+)`\)")
_CONFIG = """\
ledger = "{home}/pitstop/ledger.db"
spool = "{home}/pitstop/spool"
[slack]
channels = {{ results = "#db-backups", alerts = "#db-alerts", approvals = "#db-approvals" }}
api_url = "{api}"
http_listen = "127.0.0.1:{http_port}"
[repositories.local]
url = "file://{home}/repository"
[encryption]
key = "file:{home}/pitstop/key"
[restore]
directory = "{home}/restores"
[clusters.slips]
dsn = "{dsn}"
timezone = "Asia/Bangkok"
shared_disk = true
[clusters.slips.schedule]
base_backup = "{base_backup}"
dump = "off"
wal_check = "off"
digest = "off"
rehearsal = "off"
[clusters.slips.approval]
{approval}
[clusters.orphan]
dsn = "{dsn}"
shared_disk = true
[clusters.orphan.schedule]
base_backup = "off"
dump = "off"
wal_check = "off"
digest = "off"
rehearsal = "off"
"""
NORMAL = {"requesters": ["everyone"], "approvers": ["S0DBAS"]}

T = TypeVar("T")


@dataclass
class Office:
    """One workspace with one bot. `home` holds everything the bot owns; `bots` are the processes started here."""

    home: Path
    server: PlainServer
    sandbox: Sandbox
    config_path: Path
    http_port: int = 0
    bots: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # -- the bot -------------------------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The bot's configuration as it is now."""
        return load(self.config_path)[0]

    @property
    def ledger(self) -> Ledger:
        """The bot's ledger."""
        return Ledger(self.home / "pitstop" / "ledger.db")

    @property
    def driver(self) -> Driver:
        """Hands and eyes in the workspace."""
        return self.sandbox.driver()

    @property
    def log(self) -> str:
        """What the bots logged."""
        return (self.home / "pitstop" / "bot.log").read_text("utf-8", "replace")

    def configure(self, *, base_backup: str = "off", approval: Mapping[str, Any] | None = None) -> None:
        """Write the configuration; `approval` is the cluster's approval table (an empty one: nobody may anything)."""
        table = NORMAL if approval is None else approval
        lines = "\n".join(f"{name} = {_toml(value)}" for name, value in table.items())
        text = _CONFIG.format(
            home=self.home,
            api=self.sandbox.api_url,
            dsn=self.server.dsn(),
            approval=lines,
            base_backup=base_backup,
            http_port=self.http_port or 1,
        )
        self.config_path.write_text(text, "utf-8")

    def start_bot(self, *, wait: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        """Start a bot; with `wait` until Slack can reach it."""
        tokens = {"SLACK_BOT_TOKEN": self.sandbox.bot_token, "SLACK_APP_TOKEN": self.sandbox.app_token}
        if self.http_port:
            tokens["SLACK_SIGNING_SECRET"] = self.sandbox.signing_secret
        hidden = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
        inherited = {name: value for name, value in os.environ.items() if name.lower() not in hidden}
        with (self.home / "pitstop" / "bot.log").open("ab") as log:
            bot = subprocess.Popen(
                [sys.executable, "-I", "-m", "bot", "run", "--config", str(self.config_path)],
                cwd="/",
                env=inherited | tokens | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.bots.append(bot)
        if wait:
            self.until(lambda: self.connected or bot.poll() is not None, what="the bot's connection")
            assert bot.poll() is None, self.log
        return bot

    @property
    def connected(self) -> bool:
        """Whether Slack can reach a bot."""
        if self.http_port:
            return "listening for signed requests" in self.log
        return self.driver.sockets() > 0

    def kill_bot(self) -> None:
        """`kill -9` of every bot; its jobs go on."""
        for bot in self.bots:
            bot.kill()
            bot.wait()
        self.bots.clear()
        self.until(lambda: self.driver.sockets() == 0, what="Slack noticing that the bot is gone")

    def stop_bot(self) -> None:
        """End every bot in order (SIGTERM)."""
        for bot in self.bots:
            end_bot(bot)
        self.bots.clear()

    def restart(self, *, base_backup: str = "off", approval: Mapping[str, Any] | None = None) -> None:
        """Start the bot anew with another approval table."""
        self.stop_bot()
        self.configure(base_backup=base_backup, approval=approval)
        self.start_bot()

    # -- what people do ------------------------------------------------------------------------------------------------

    def types(self, who: str, text: str, channel: str = RESULTS) -> Outcome:
        """Type a command; it must be acknowledged."""
        done = self.driver.command(who, channel, text)
        assert done.acked, done.message
        return done

    def answer_to(self, who: str, text: str, channel: str = RESULTS) -> str:
        """Type a command and return what only this person is shown for it."""
        before = len(self.driver.ephemerals(who, channel))
        self.types(who, text, channel)
        return self.told(who, channel, after=before)

    def told(self, who: str, channel: str = RESULTS, *, after: int = 0) -> str:
        """Return the newest message only this person sees, once there are more than `after`."""
        shown = self.see(
            lambda d: seen if len(seen := d.ephemerals(who, channel)) > after else None, f"an answer to {who}"
        )
        return shown[-1].full_text.replace("\u200b", "")  # what keeps `_` from meaning something is not seen

    def press(self, who: str, card: Message, action: str) -> str:
        """Press a button that is refused or answered, and return what only this person is shown for it."""
        before = len(self.driver.ephemerals(who, card.channel))
        done = self.driver.click(who, card, action)
        assert done.acked, done.message
        return self.told(who, card.channel, after=before)

    def ask(
        self, who: str = "nok", target: str = "latest", reason: str = "a drill", cluster: str = "slips"
    ) -> RequestId:
        """Type `/pitr` and return the request's id."""
        told = self.answer_to(who, f"/pitr {cluster} {target}" + (f" reason: {reason}" if reason else ""))
        found = _REQUEST.search(told)
        assert found, told
        return RequestId(found[1])

    def propose(self, who: str = "nok", target: str = "latest", reason: str = "a drill") -> tuple[RequestId, Message]:
        """Ask, wait for the plan, and return the request with its card in the requester's direct messages."""
        request = self.ask(who, target, reason)
        return request, self.card(request, f"dm:{_USER[who]}", actions.CONFIRM if reason else actions.REASON)

    def pend(self, who: str = "nok", target: str = "latest", reason: str = "a drill") -> tuple[RequestId, Message]:
        """Ask and confirm, and return the request with its card in the approvals channel."""
        request, plan = self.propose(who, target, reason)
        assert self.driver.click(who, plan, actions.CONFIRM).acked
        return request, self.card(request, "approvals", actions.APPROVE)

    def ask_unseen(self, who: str = "nok", target: str = "latest", reason: str = "a drill") -> Request:
        """Commit an ask as a bot did that died right after it: its plan is queued, and nobody works on it."""
        zone = ZoneInfo("Asia/Bangkok")
        return desk.ask(
            self.ledger,
            self._calls(who, f"the-last-words-of-{who}: {reason}"),
            verb="pitr",
            cluster=SLIPS,
            target=parse_target(target, now=utc_now(), zone=zone),
            target_text=target,
            destination={"kind": "beside", "directory": None, "port": None},
            reason=reason,
        )

    def approve_unseen(self, request: RequestId, who: str = "somchai") -> None:
        """Commit an approval as a bot did that died right after it: no tick of its own ever saw it."""
        desk.approve(self.ledger, self._calls(who, f"the-last-click-on-{request}"), request)

    def _calls(self, who: str, key: str) -> Caller:
        person = Person(HOUSE_TEAM, _USER[who])
        return Caller(
            by=person,
            policy=self.config.clusters[SLIPS].policy,
            key=key,
            at=utc_now(),
            entropy=os.urandom(12),
            facts=PersonFacts(person, who, "Asia/Bangkok", utc_now()),
            groups={"S0DBAS": GroupFacts("S0DBAS", frozenset({Person(HOUSE_TEAM, _USER["somchai"])}), utc_now())},
        )

    # -- what people see -----------------------------------------------------------------------------------------------

    def see(self, look: Callable[[Driver], T | None], what: str, timeout_s: float = LATE_S) -> T:
        """Wait until somebody sees it."""
        return self.driver.wait_for(look, timeout_s, what=what)

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = LATE_S) -> None:
        """Wait until a condition holds that nobody sees in Slack."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout_s:g} s in vain for {what}\n{self.log[-4000:]}")
            time.sleep(0.05)

    def shown(self, subject: str, place: str, kind: str = "request") -> Message | None:
        """Return a card's message as it is shown now."""
        with self.ledger.read() as tx:
            card = cards.find(tx, kind, subject, place)
        if card is None or card.channel is None or card.ts is None:
            return None
        return self.driver.message(card.channel, card.ts)

    def card(self, subject: str, place: str, button: str = "", *, text: str = "", kind: str = "request") -> Message:
        """Wait for a card, with a button that can be pressed or with some text."""

        def look(_: Driver) -> Message | None:
            found = self.shown(subject, place, kind)
            if found is None or (button and not found.has_button(button)) or text not in found.full_text:
                return None
            return found

        return self.see(look, f"the {kind} card of {subject} at {place} {button}{text}")

    def alert(
        self, condition: str, subject: str = "", *, cluster: str = "slips", button: str = "", text: str = ""
    ) -> Message:
        """Wait for an alert's card, with a button that can be pressed or with some text."""

        self.until(
            lambda: self.alert_row(condition, subject, cluster=cluster) is not None, f"an alert: {condition} {subject}"
        )
        found = self.alert_row(condition, subject, cluster=cluster)
        assert found is not None
        return self.card(found.id, "alerts", button, text=text, kind="alert")

    def alert_row(self, condition: str, subject: str = "", *, cluster: str = "slips") -> Alert | None:
        """Return an alert's row, or None when its condition never held."""
        with self.ledger.read() as tx:
            return alerts.find(tx, condition, cluster, subject)

    # -- what the ledger says ------------------------------------------------------------------------------------------

    def request(self, request: RequestId) -> Request:
        """Return a request's row."""
        with self.ledger.read() as tx:
            return requests.get(tx, request)

    def reaches(self, request: RequestId, *states: State, timeout_s: float = LATE_S) -> Request:
        """Wait until a request is in one of `states`."""
        self.until(lambda: self.request(request).state in states, f"{request} being {' or '.join(states)}", timeout_s)
        return self.request(request)

    def runs(self, job: Job, *states: RunState) -> list[Run]:
        """Return the cluster's runs of a job, newest first."""
        with self.ledger.read() as tx:
            return runs.recent(tx, cluster=SLIPS, jobs=(job,), states=states or tuple(RunState))

    def server_beside(self, request: RequestId) -> Server:
        """Return the server that a request started."""
        with self.ledger.read() as tx:
            return servers.get(tx, request)

    def refusals(self, action: str) -> list[dict[str, Any]]:
        """Return what the audit says about refused attempts of `action`, oldest first."""
        with self.ledger.read() as tx:
            return [json.loads(e.detail) for e in audit.entries(tx) if e.action == f"{action}.refused"]

    def audited(self, subject: str) -> list[str]:
        """Return the actions the audit has for a subject, oldest first."""
        with self.ledger.read() as tx:
            return [entry.action for entry in audit.entries(tx) if entry.subject == subject]

    def backed_up(self) -> None:
        """Make sure that there is a base backup, asked for in Slack."""
        if not self.runs(Job.BASE_BACKUP, RunState.SUCCEEDED):
            self.types("nok", "/backup now slips")
            self.until(lambda: self.runs(Job.BASE_BACKUP, RunState.SUCCEEDED), "a base backup")

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run one statement on the live server."""
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []

    # -- the promise about cards ---------------------------------------------------------------------------------------

    def out_of_step(self) -> list[str]:
        """Compare every card in the workspace with the rendering of its ledger row; return what differs, in sentences.

        Also said: a message of ours with live buttons that is no card (a twin), and a card nobody posted.
        """
        policies: Callable[[ClusterName], Policy | None] = lambda name: self.config.clusters[name].policy  # noqa: E731
        with self.ledger.read() as tx:
            rows = list(tx.query("SELECT id FROM cards"))
            known = [card for row in rows if (card := cards.get(tx, row["id"])) is not None]
            oncall = (self.config.slack.oncall if self.config.slack else None) or ""
            wanted = {card.id: render(tx, card, policies, oncall=oncall) for card in known}
        problems = [problem for card in known if (problem := self._differs(card, wanted[card.id]))]
        return problems + self._live_twins({(card.channel, card.ts) for card in known})

    def _differs(self, card: cards.Card, wanted: Rendered | None) -> str:
        what = f"{card.subject_kind} {card.subject} at {card.place}"
        if card.failed:
            return f"{what} was given up: {card.failed}"
        shown = self.driver.message(card.channel, card.ts) if card.channel and card.ts else None
        if shown is None:
            return f"{what} is not shown"
        if card.subject_kind == "wake":
            return ""  # carries a link that only Slack knows
        assert wanted is not None
        if shown.text != wanted.text:
            return f"{what} says:\n{shown.text}\ninstead of:\n{wanted.text}"
        return f"{what} has other blocks" if shown.blocks != wanted.blocks else ""

    def _live_twins(self, known: set[tuple[str | None, str | None]]) -> list[str]:
        ours = [m for place in (RESULTS, ALERTS, APPROVALS) for m in self.driver.messages(place)]
        ours += [m for who in _USER for m in self.driver.dm(who)]
        return [f"a twin with buttons: {m.text[:80]}" for m in ours if m.buttons and (m.channel, m.ts) not in known]


_USER = {"nok": "U0NOK", "somchai": "U0SOMCHAI", "ploy": "U0PLOY", "kit": "U0KIT"}


@contextmanager
def open_office(
    *, http: bool = False, rate_limits: bool = False, major: int = 18, start: bool = True
) -> Iterator[Office]:
    """Open an office and close it again: bots, jobs, servers beside, the live server, the workspace, every file."""
    account, binaries = server_account(), binaries_or_skip(major)
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="ps-", dir=for_servers()))
        stack.callback(shutil.rmtree, home)
        home.chmod(0o711)
        for name, mode in {"pitstop": 0o700, "repository": 0o700, "restores": 0o711, "live": 0o700}.items():
            (home / name).mkdir(mode=mode)
        os.chown(home / "live", account.uid, account.gid)
        create_key_file(home / "pitstop" / "key")
        initdb(binaries, home / "live" / "data", account)
        server = PlainServer.start(
            binaries, home / "live" / "data", account, socket_dir=home / "live", settings=FAST, log=home / "live.log"
        )
        stack.callback(server.stop, "immediate")
        sandbox = Sandbox.start(manifest=manifest(), rate_limits=rate_limits)
        stack.callback(sandbox.stop)
        office = Office(home, server, sandbox, home / "pitstop" / "pitstop.toml", free_port() if http else 0)
        office.configure()
        stack.callback(lambda: end_runs(office.config, office.config_path))
        stack.callback(office.stop_bot)
        office.sql("CREATE TABLE slips AS SELECT n, 'slip ' || n AS reference FROM generate_series(1, 1000) n")
        if http:
            office.driver.change_app(request_url=f"http://127.0.0.1:{office.http_port}/slack/events")
        if start:
            office.start_bot()
        yield office


def free_port() -> int:
    """Return a port of the loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'
