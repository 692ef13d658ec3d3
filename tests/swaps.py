"""Restores in place for tests: a shop with a dump, an application that writes, and requests brought through the desk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bot import desk
from bot.config import load
from bot.errors import PitstopError
from bot.ledger import kept as rows
from bot.ledger import requests
from bot.model.callers import Caller
from bot.model.ids import RequestId, RunId
from bot.model.kept import Kept
from bot.model.people import Person
from bot.model.requests import Request, State
from bot.model.restores import LATEST, Wanted
from bot.model.runs import Job, Run
from bot.model.swaps import SwapStep
from bot.postgres.plain import PlainServer
from jobs.context import JobContext, utc_now
from jobs.execute import run as execute_request
from jobs.plan import run as plan_request
from tests.jobs import CLUSTER, Installation, install
from tests.servers import execute

ASKER, DBA = Person("host", "asker"), Person("host", "dba")
APPROVAL = '{ requesters = ["everyone"], approvers = ["host:dba"] }'


@dataclass
class Shop:
    """A server with the database `shop`, dumped by an installation that can put it back in place."""

    server: PlainServer
    installation: Installation

    def sql(self, statement: str, dbname: str = "shop") -> list[tuple[object, ...]]:
        """Run one statement."""
        return execute(self.server, statement, dbname=dbname)

    def orders(self) -> int:
        """Count what the shop has; also proves that its name leads to a database that takes sessions."""
        [(number,)] = self.sql("SELECT count(*) FROM orders")
        return int(str(number))

    def databases(self) -> set[str]:
        """Return the databases there are, but for the server's own."""
        return {str(name) for (name,) in self.sql("SELECT datname FROM pg_database", "postgres")} - {
            "postgres", "template0", "template1",
        }  # fmt: skip

    def caller(self, by: Person, name: str = "") -> Caller:
        """Return somebody on the host who calls now, while Slack is away."""
        return Caller(
            by=by, policy=self.policy, key=os.urandom(8).hex(), at=utc_now(), entropy=os.urandom(16), name=name,
            slack_away=True,
        )  # fmt: skip

    def ask(self, **how: Any) -> Request:
        """Ask for the newest dump in place, or the `backup`; with `undo` for what that request replaced."""
        of = how.get("undo")
        request = desk.ask(
            self.installation.ledger,
            self.caller(ASKER, name="asker"),
            verb="undo" if of else "restore",
            cluster=CLUSTER,
            target=Wanted(backup=of) if of else Wanted(backup=how.get("backup", LATEST), database="shop"),
            target_text="the newest dump",
            destination={"kind": "in-place", "database": None},
            reason="a bad migration",
        )
        assert request.run is not None
        context = JobContext(
            desk.start_run(self.installation.ledger, request.run, utc_now()), self.installation.config,
            self.installation.ledger,
        )  # fmt: skip
        answer = plan_request(context)
        context.close()
        desk.finish_run(self.installation.ledger, request.run, answer, utc_now())
        return self.request(request.id)

    def approved(self, **how: Any) -> Request:
        """Ask, confirm, and have it approved."""
        request = self.ask(**how)
        assert request.state is State.PROPOSED, request.outcome
        desk.confirm(self.installation.ledger, self.caller(ASKER), request.id, reason="")
        return desk.approve(self.installation.ledger, self.caller(DBA), request.id, typed=CLUSTER)

    def queue(self, request: RequestId) -> Run:
        """Queue the executor."""
        return desk.queue_run(
            self.installation.ledger, job=Job.EXECUTE, cluster=CLUSTER, args={}, by="pitstop", at=utc_now(),
            entropy=os.urandom(8), request=request,
        )  # fmt: skip

    def carry_out(self, run: Run) -> dict[str, Any]:
        """Carry a queued run out here, and record its end as `bot/job.py` would."""
        ledger = self.installation.ledger
        context = JobContext(desk.start_run(ledger, run.id, utc_now()), self.installation.config, ledger)
        try:
            result = execute_request(context)
        except BaseException as error:
            context.close()
            said = (
                error.as_json() if isinstance(error, PitstopError) else {"message": str(error), "code": "x", "hint": ""}
            )
            desk.fail_run(ledger, run.id, said, utc_now())
            raise
        context.close()
        desk.finish_run(ledger, run.id, result, utc_now())
        return result

    def restore(self, **how: Any) -> tuple[Request, dict[str, Any]]:
        """Ask for the newest dump in place, have it approved, and carry it out."""
        request = self.approved(**how)
        result = self.carry_out(self.queue(request.id))
        return self.request(request.id), result

    def spawn(self, run: RunId) -> subprocess.Popen[bytes]:
        """Carry a queued run out in a process of its own, to be killed."""
        log = (self.installation.home / f"{run}.out").open("wb")
        argv = [sys.executable, "-m", "bot", "--config", str(self.installation.config_path), "job", run]
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/")
        log.close()
        return process

    def request(self, request: RequestId) -> Request:
        """Read a request again."""
        with self.installation.ledger.read() as tx:
            return requests.get(tx, request)

    def kept(self, request: RequestId) -> Kept | None:
        """Return what a request keeps."""
        with self.installation.ledger.read() as tx:
            return rows.find(tx, request)

    def step(self, request: RequestId) -> SwapStep | None:
        """Return the step that was journalled last."""
        with self.installation.ledger.read() as tx:
            found = rows.journalled(tx, request)
        return found[0] if found else None

    @property
    def policy(self) -> Any:
        """Who may ask and approve."""
        return self.installation.config.cluster(CLUSTER).policy


@dataclass
class Application:
    """Sessions that write orders as fast as they can, reconnect when sent away, and remember what they were told."""

    server: PlainServer
    written: int = 0
    told: dict[str | None, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self) -> None:
        """Write until asked to stop."""
        while not self.stop.is_set():
            try:
                with psycopg.connect(self.server.dsn("shop"), autocommit=True) as session:
                    while not self.stop.is_set():
                        session.execute("INSERT INTO orders (what) VALUES ('late')")
                        with self.lock:
                            self.written += 1
                        time.sleep(0.005)
            except psycopg.Error as error:
                with self.lock:
                    self.told[error.sqlstate] = self.told.get(error.sqlstate, 0) + 1
                time.sleep(0.02)


@contextmanager
def writing(server: PlainServer, sessions: int = 3) -> Iterator[Application]:
    """Keep the application busy while the block lasts."""
    application = Application(server)
    threads = [threading.Thread(target=application.write) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    try:
        yield application
    finally:
        application.stop.set()
        for thread in threads:
            thread.join(60)


def open_shop(server: PlainServer, home: Path, *, settings: str = "", top: str = "") -> Shop:
    """Make the shop with a hundred orders, dump it, and lose half of them."""
    execute(server, "CREATE ROLE owner LOGIN")
    execute(server, "CREATE DATABASE shop OWNER owner")
    execute(server, "ALTER DATABASE shop SET work_mem TO '5MB'")
    execute(server, "COMMENT ON DATABASE shop IS 'the shop'")
    execute(server, "CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text)", dbname="shop")
    execute(server, "INSERT INTO orders (what) SELECT 'early' FROM generate_series(1, 100)", dbname="shop")
    extra = {"databases": '["shop"]', "approval": APPROVAL}
    installation = install(home, server, extra, top)
    text = installation.config_path.read_text("utf-8") + settings
    installation.config_path.write_text(text, "utf-8")
    installation = Installation(home, installation.config_path, load(installation.config_path)[0], installation.ledger)
    installation.config.runs_directory.mkdir(mode=0o700)
    installation.run(Job.DUMP)
    execute(server, "DELETE FROM orders WHERE id > 50", dbname="shop")
    return Shop(server, installation)


def until(holds: Callable[[], bool], what: str = "it", timeout_s: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} never happened"
        time.sleep(0.01)
