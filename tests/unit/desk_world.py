"""A small world for tests of the desk: one cluster, a workspace, its people, and a ledger on disk."""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot import desk
from bot.ledger import audit, people, requests
from bot.ledger.database import Ledger
from bot.model.callers import Caller
from bot.model.destinations import Beside
from bot.model.holding import Observed
from bot.model.ids import BackupId, ClusterName, RequestId, RunId, SystemId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.plans import ChainLink, Facts, Plan, Recovery, Steps
from bot.model.requests import Request, State
from bot.model.runs import Job, Run
from bot.model.targets import ResolvedTarget, Target, TargetKind
from bot.model.wal import Lsn

TEAM = "T1"
ALICE, BOB, CAROL, DAN = (Person(TEAM, user) for user in ("UALICE", "UBOB", "UCAROL", "UDAN"))
GUEST, STRANGER = Person(TEAM, "UGUEST"), Person("T2", "UOTHER")
ROOT = Person("host", "root")
SLIPS = ClusterName("slips")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TARGET = Target(TargetKind.TIME, at=NOON - timedelta(hours=1))
BACKUP = BackupId("20261122T020000Z-base-7f3a")
GROUP = "S0DBAS"


def policy(
    *,
    requesters: tuple[str, ...] = ("everyone",),
    approvers: tuple[str, ...] = ("UCAROL", "UDAN"),
    quorum: int = 1,
    version: str = "v1",
    cli_beside_quorum: int = 0,
) -> Policy:
    """Return a policy in which everyone may ask, and Carol and Dan may approve."""
    return Policy(requesters, approvers, quorum, 1800, 600, version, cli_beside_quorum)


def facts(person: Person, at: datetime = NOON, /, **flags: bool) -> PersonFacts:
    """Return what Slack says about a full member."""
    return PersonFacts(person, person.user.removeprefix("U").title(), "Asia/Bangkok", at, **flags)


def plan(*, directory: str = "/restores/one", port: int | None = None, version: str = "v1") -> Plan:
    """Return a plan for a restore beside."""
    steps = Steps(
        verb="pitr",
        cluster=SLIPS,
        system_id=SystemId("7000000000000000001"),
        repository="local",
        chain=(ChainLink(BACKUP, "ab" * 32),),
        work=Recovery(ResolvedTarget(1, Lsn(0x3000000), True), lifetime_s=86400),
        destination=Beside(directory, port),
        overwrites=(),
        checks=(),
        policy_version=version,
    )
    return Plan(steps, Facts(160002, 1000, 1000, 16, 2000, 9000, True, 240.0, "last drill", "11:00"))


def observed(**changes: object) -> Observed:
    """Return an observation under which `plan()` holds."""
    return Observed(
        **{
            "manifests": {BACKUP: "ab" * 32},
            "wal_complete": True,
            "disk_free": 9000,
            "directory_empty": True,
            "port_free": True,
            "policy_version": "v1",
            "server_version": 160002,
            **changes,
        }  # type: ignore[arg-type]
    )


@dataclass
class World:
    """A ledger, a clock that only moves when told, and shortcuts that call the desk's verbs."""

    ledger: Ledger
    now: datetime = NOON
    policy: Policy = field(default_factory=policy)
    people: dict[str, str] = field(default_factory=dict)
    counter: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def at(cls, folder: Path) -> World:
        """Make a ledger in `folder` that knows its workspace."""
        ledger = Ledger(folder / "ledger.db")
        ledger.path.write_bytes(_new_ledger())
        return cls(ledger)

    def later(self, **delta: float) -> None:
        """Move the clock."""
        self.now += timedelta(**delta)

    def key(self) -> str:
        """Return a key nobody used."""
        return f"key-{next(self.counter)}"

    def entropy(self) -> bytes:
        """Return bytes nobody used."""
        return next(self.counter).to_bytes(12, "big")

    def facts(self, person: Person) -> PersonFacts | None:
        """Return fresh facts, or None for a login on the host."""
        return None if person.on_host else facts(person, self.now)

    def caller(self, by: Person = ALICE, **how: Any) -> Caller:
        """Return somebody who calls now, with fresh facts and a key nobody used; `how` says otherwise."""
        given = {"key": self.key(), "entropy": self.entropy(), "facts": self.facts(by), "logins": self.people, **how}
        return Caller(by=by, at=self.now, policy=self.policy, **given)

    def ask(self, by: Person = ALICE, *, reason: str = "dropped a table", **how: Any) -> Request:
        """Ask for a restore beside."""
        return desk.ask(
            self.ledger,
            self.caller(by, **{"name": by.user.removeprefix("U").title(), **how}),
            verb="pitr",
            cluster=SLIPS,
            target=TARGET,
            target_text="11:00",
            destination={"kind": "beside", "directory": None, "port": None},
            reason=reason,
            asked_in="C1",
        )

    def proposed(self, by: Person = ALICE, **how: object) -> Request:
        """Ask, and have the plan made."""
        return self.plan_it(self.ask(by), **how)

    def plan_it(self, request: Request, **how: object) -> Request:
        """Have the plan of a request made."""
        assert request.run is not None
        desk.start_run(self.ledger, request.run, self.now)
        made = desk.propose(self.ledger, request.id, plan(**{"directory": f"/restores/{request.id}", **how}), self.now)  # type: ignore[arg-type]
        desk.finish_run(self.ledger, request.run, {}, self.now)
        return made

    def confirm(self, request: RequestId, by: Person = ALICE, *, reason: str = "why", **how: Any) -> Request:
        """Confirm the plan."""
        return desk.confirm(self.ledger, self.caller(by, **how), request, reason=reason)

    def pending(self, by: Person = ALICE, **how: object) -> Request:
        """Ask, plan and confirm."""
        return self.confirm(self.proposed(by, **how).id, by)

    def approve(self, request: RequestId, by: Person = CAROL, **how: Any) -> Request:
        """Approve."""
        return desk.approve(self.ledger, self.caller(by, **how), request)

    def deny(self, request: RequestId, by: Person = CAROL, *, reason: str = "too risky", **how: Any) -> Request:
        """Deny."""
        return desk.deny(self.ledger, self.caller(by, **how), request, reason=reason)

    def cancel(self, request: RequestId, by: Person = ALICE) -> Request:
        """Cancel."""
        return desk.cancel(self.ledger, self.caller(by), request)

    def approved(self, by: Person = ALICE, **how: object) -> Request:
        """Ask, plan, confirm and approve."""
        return self.approve(self.pending(by, **how).id)

    def execute_run(self, request: RequestId) -> Run:
        """Queue and start the run that carries a request out."""
        run = desk.queue_run(
            self.ledger,
            job=Job.EXECUTE,
            cluster=SLIPS,
            args={},
            by="pitstop",
            at=self.now,
            entropy=self.entropy(),
            request=request,
        )
        return desk.start_run(self.ledger, run.id, self.now)

    def refresh(self, *persons: Person) -> None:
        """Have the leader fetch facts."""
        with self.ledger.transaction() as tx:
            for person in persons:
                people.put(tx, facts(person, self.now))

    def claim(self, request: RequestId, run: RunId, **changes: object) -> Request:
        """Claim for a run."""
        return desk.claim(
            self.ledger,
            request_id=request,
            run_id=run,
            observed=observed(**changes),
            at=self.now,
            policy=self.policy,
            people=self.people,
        )

    def running(self) -> tuple[Request, Run]:
        """Bring a request to RUNNING."""
        request = self.approved()
        run = self.execute_run(request.id)
        self.refresh(ALICE, CAROL)
        return self.claim(request.id, run.id), run

    def state(self, request: RequestId) -> State:
        """Return where a request stands in the ledger."""
        with self.ledger.read() as tx:
            return requests.get(tx, request).state

    def audited(self) -> list[str]:
        """Return every action in the audit, after checking the chain."""
        with self.ledger.read() as tx:
            assert audit.verify(tx).intact
            return [entry.action for entry in audit.entries(tx)]


@functools.cache
def _new_ledger() -> bytes:
    """Return the file of a ledger that knows its workspace and nothing else: it is made once, not for each test."""
    with tempfile.TemporaryDirectory(prefix="pitstop-") as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        ledger.create()
        with ledger.transaction() as tx:
            people.set_team(tx, TEAM)
        return ledger.path.read_bytes()


def group(*members: Person, at: datetime = NOON) -> GroupFacts:
    """Return the DBAs' group."""
    return GroupFacts(GROUP, frozenset(members), at)


@contextmanager
def new_world() -> Iterator[World]:
    """Make a world in memory where there is such a folder: a real ledger whose fsyncs cost nothing."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pitstop-", dir=memory) as folder:
        world = World.at(Path(folder))
        with world.ledger.kept_open():
            yield world
