"""Rows of the ledger made from a number, with every kind of text that a person or a database can put into them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from bot.ledger.wal_status import WalStatus
from bot.model.alerts import CONDITIONS, Alert, AlertState, Concern, Severity
from bot.model.backups import BackupSummary
from bot.model.destinations import Beside, Destination, EmptyTables, InPlace, NewDatabase, NewSchema
from bot.model.dumps import Part
from bot.model.hooks import Hooks
from bot.model.ids import AlertId, BackupId, ClusterName, RequestId, RunId, SystemId
from bot.model.people import Person
from bot.model.plans import ChainLink, Facts, Plan, Recovery, Steps, Work
from bot.model.requests import Decision, Request, State
from bot.model.restores import Restoration, TableName, Undoing, Wanted
from bot.model.runs import Job, Phase, Run, RunState
from bot.model.servers import Server, ServerState
from bot.model.sql_checks import SqlCheck
from bot.model.targets import Commit, ResolvedTarget, Target, TargetKind
from bot.model.wal import Lsn
from bot.slack.cards import RequestView
from tests.unit.desk_world import NOON

EVIL = (
    "<!channel>",
    "<!here|x>",
    "<@UEVIL>",
    "<!subteam^SEVIL>",
    "<https://evil.test|safe>",
    "&lt;!channel&gt;",
    "&",
    "`",
    "```",
    "*_~",
    "\u202eevil\u2066",
    "\x00\x1b[31m",
    "\n",
    "\r\n> ",
    "\u2028",
    "👩‍👩‍👧",
    "é́́",
    "%s{}",
    " plain words ",
)
SLIPS = ClusterName("slips")
T = TypeVar("T")


class Rows:
    """Makes rows; the same number makes the same ones."""

    def __init__(self, number: int) -> None:
        self._random = Random(number)

    def text(self) -> str:
        """Return text: empty, short, or ten thousand characters, of pieces that do harm where they are not escaped."""
        pieces = "".join(self._random.choices(EVIL, k=self._random.randrange(7)))
        return (pieces * 2000)[:10_000] if self._random.random() < 0.15 else pieces

    def number(self) -> int:
        """Return a size or a count, up to the largest the ledger holds."""
        return self._random.randrange(2 ** self._random.choice([0, 10, 40, 63]))

    def time(self) -> datetime:
        """Return a time within two years of noon."""
        return NOON + timedelta(
            seconds=self._random.randrange(-(10**7), 10**7), microseconds=self._random.randrange(10**6)
        )

    def maybe(self, make: Callable[[], T]) -> T | None:
        """Return None half of the time."""
        return make() if self._random.random() < 0.5 else None

    def some(self, make: Callable[[], T], most: int) -> tuple[T, ...]:
        """Return up to `most` values."""
        return tuple(make() for _ in range(self._random.randrange(most + 1)))

    def person(self) -> Person:
        """Return somebody, perhaps with a login that looks like a mention."""
        return Person(
            self._random.choice(["T1", "host"]), self._random.choice(["UALICE", "UCAROL", "root", "<!here>", "U`"])
        )

    def lsn(self) -> Lsn:
        """Return a place in the WAL."""
        return Lsn(self._random.randrange(2**64))

    def commit(self) -> Commit:
        """Return a transaction's end."""
        return Commit(
            self._random.randrange(3, 2**32), self.lsn(), self.lsn(), self.time(), self._random.random() < 0.5
        )

    def plan(self) -> Plan:
        """Return a plan."""
        steps = Steps(
            verb="pitr",
            cluster=SLIPS,
            system_id=SystemId(self.text()),
            repository=self.text(),
            chain=(
                ChainLink(BackupId(self.text()), "ab"),
                *self.some(lambda: ChainLink(BackupId(self.text()), "cd"), 8),
            ),
            work=self.work(),
            destination=self.destination(),
            overwrites=self.some(self.text, 7),
            checks=self.some(lambda: SqlCheck(self.text(), self.text(), self.text()), 12),
            policy_version="v1",
        )
        return Plan(steps, self.facts())

    def hooks(self) -> Hooks:
        """Return what runs around a swap."""
        commands = [self.some(lambda: (self.text(), self.text()), 9) for _ in range(2)]
        return Hooks(commands[0], commands[1], 60, self.maybe(self.text), 60, bool(self.maybe(bool)))

    def work(self) -> Work:
        """Return a recovery, a restoration or an undo."""
        if self.maybe(bool) is None:
            return Undoing(SystemId("7"), RequestId(self.text()), self.hooks())
        if self.maybe(bool) is None:
            tables = self.some(lambda: TableName(self.text(), self.text()), 12)
            return Restoration(
                SystemId("7"), self.text(), "db-0", self._random.choice(list(Part)), tables, hooks=self.hooks()
            )
        target = ResolvedTarget(3, self.lsn(), bool(self.maybe(bool)), self.maybe(self.commit), self.maybe(self.commit))
        return Recovery(target, lifetime_s=self._random.randrange(1, 10**7))

    def destination(self) -> Destination:
        """Return a destination of any kind."""
        places: list[Destination] = [
            Beside(self.text(), self.maybe(lambda: 5555)),
            NewDatabase(self.text()),
            EmptyTables(self.text()),
            NewSchema(self.text(), self.text()),
            InPlace(self.text(), 5, self.text(), self.maybe(lambda: 6), self.text()),
        ]
        return self._random.choice(places)

    def facts(self) -> Facts:
        """Return what was true when a plan was made."""
        values = {name: self.number() for name in Facts.__dataclass_fields__}
        told = {"basis": self.text(), "target_text": self.text(), "warnings": list(self.some(self.text, 12))}
        estimate = self.maybe(lambda: self._random.random() * 10**6)
        lost = self.maybe(
            lambda: {"since": self.time().isoformat(), "connections": self.number(), "wal_bytes": self.number()}
        )
        known = {"estimate_s": estimate, "wal_complete": bool(self.maybe(bool)), "lost": lost}
        made_at = self.maybe(lambda: self.time().isoformat())
        return Facts.from_json({**values, **told, **known, "made_at": made_at})

    def target(self) -> Target | Wanted:
        """Return a target of any kind, or what is wanted of a backup."""
        if self.maybe(bool) is None:
            return Wanted(self.text(), self.text(), self._random.choice(list(Part)), self.some(self.text, 4))
        kind = self._random.choice(list(TargetKind))
        return Target(kind, bool(self.maybe(bool)), self.maybe(self.time), 7, self.text(), self.lsn(), self.text())

    def outcome(self) -> dict[str, Any]:
        """Return an outcome with any of the keys that outcomes have."""
        checks = self.some(lambda: {"name": self.text(), "ok": self.maybe(lambda: True), "detail": self.text()}, 15)
        whole = {
            "message": self.text(),
            "hint": self.text(),
            "reasons": list(self.some(self.text, 12)),
            "nearest": list(self.some(self.text, 6)),
            "seconds": self._random.random() * 10**6,
            "target": {"lsn": self.text(), "timeline": 1},
            "checks": list(checks),
            "findings": [{"level": "fail", "sentence": self.text(), "fix": self.text()}],
            "bytes_read": self.number(),
            "bytes_stored": self.number(),
            "id": self.text(),
            "from_database": self.text(),
            "database": self.text(),
            "schema": self.maybe(self.text),
            "backup": self.text(),
            "dsn": self.text(),
            "left_out": list(self.some(self.text, 9)),
            "part": self._random.choice(["full", "schema-only", "data-only", self.text()]),
            "databases": list(self.some(lambda: {"name": self.text(), "tables": 3, "rows": self.number()}, 40)),
            "warnings": list(self.some(self.text, 40)),
        }
        return {key: value for key, value in whole.items() if self._random.random() < 0.7}

    def request(self) -> Request:
        """Return a request in any state, also with values that do not go together."""
        return Request(
            id=RequestId("r0123456789"),
            verb=self._random.choice(["pitr", "restore", "undo"]),
            cluster=ClusterName(self._random.choice(["slips", "a" * 63, "my_db-2"])),
            state=self._random.choice(list(State)),
            version=self.number(),
            requester=self.person(),
            requester_name=self.text(),
            reason=self.text(),
            target=self.target(),
            target_text=self.text(),
            destination={"kind": "beside"},
            created_at=self.time(),
            changed_at=self.time(),
            quorum=self._random.randrange(11),
            expires_at=self.maybe(self.time),
            plan=self.maybe(self.plan),
            decisions=self.some(self.decision, 15),
            run=self.maybe(lambda: RunId(self.text())),
            outcome=self.maybe(self.outcome),
            woken_at=self.maybe(self.time),
        )

    def decision(self) -> Decision:
        """Return somebody's word."""
        verdict = self._random.choice(["approve", "deny"])
        return Decision(self.person(), verdict, self.text(), self.time(), self.text())

    def run(self) -> Run:
        """Return a run in any state."""
        return Run(
            id=RunId(self.text()),
            job=self._random.choice(list(Job)),
            cluster=SLIPS,
            state=self._random.choice(list(RunState)),
            version=self.number(),
            args={},
            queued_at=self.time(),
            queued_by=self._random.choice(["pitstop", "T1/UALICE", "host/root", "host/<!channel>"]),
            started_at=self.maybe(self.time),
            finished_at=self.maybe(self.time),
            phases=self.some(lambda: Phase(self.text(), self.time(), self.maybe(lambda: 3.2)), 25),
            bytes_done=self.number(),
            bytes_total=self.maybe(self.number),
            note=self.text(),
            result=self.maybe(self.outcome),
            error=self.maybe(lambda: {"code": self.text(), "message": self.text(), "hint": self.text()}),
        )

    def alert(self, state: AlertState, severity: Severity) -> Alert:
        """Return an alert of any condition."""
        concern = Concern(
            self._random.choice([*CONDITIONS, "unheard-of"]),
            self._random.choice(["slips", "", "a" * 63]),
            self.text(),
            severity,
            self.text(),
            self.text(),
            self.text(),
        )
        return Alert(
            AlertId("a0123456"),
            concern,
            state,
            self.number(),
            self.time(),
            self.time(),
            episode=1 + self._random.randrange(120),
            by=self.text(),
            snoozed_until=self.maybe(self.time),
            resolved_at=self.maybe(self.time),
        )

    def server(self) -> Server:
        """Return a server beside."""
        state = self._random.choice(list(ServerState))
        place, dsn = self.text(), self.text()
        return Server(
            RequestId("r0123456789"),
            SLIPS,
            state,
            2,
            self.person(),
            place,
            dsn,
            self.number(),
            self.time(),
            self.time(),
            {},
        )

    def view(self) -> RequestView:
        """Return a request with everything its card shows."""
        return RequestView(
            self.request(), self.maybe(self.run), self.maybe(self.server), self._random.randrange(99), self.approvers()
        )

    def approvers(self) -> tuple[str, ...]:
        """Return the entries of a policy."""
        return self.some(lambda: self._random.choice(["UCAROL", "SDBAS", "everyone", "host:root", "<!here>"]), 12)

    def backup(self) -> BackupSummary:
        """Return a backup's summary."""
        return BackupSummary(
            id=BackupId(self.text()),
            kind=self.text(),
            cluster=SLIPS,
            system_id=SystemId("7"),
            started_at=self.time(),
            finished_at=self.time(),
            timeline=1,
            start_lsn=self.lsn(),
            end_lsn=self.lsn(),
            bytes_read=self.number(),
            bytes_stored=self.number(),
            server_version=160002,
            segment_bytes=16777216,
            manifest_sha256="ab" * 32,
            verified_at=self.maybe(self.time),
            damaged=self.maybe(self.text),
            pinned=bool(self.maybe(bool)),
        )

    def wal(self) -> WalStatus:
        """Return what a receiver last said."""
        window = self.some(lambda: {"from": self.text(), "to": self.text()}, 12)
        lsns = self.lsn(), self.lsn(), self.lsn()
        return WalStatus(SLIPS, self.text(), SystemId("7"), 1, *lsns, window, self.time())
