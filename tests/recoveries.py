"""Recoveries in tests, through the desk as people go: ask, plan, confirm with a reason, approve by somebody else, carry out."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

from bot import desk
from bot.errors import PitstopError
from bot.host.accounts import Account
from bot.job import job_function
from bot.ledger import people, requests, runs
from bot.ledger.database import Ledger
from bot.model.callers import Caller
from bot.model.commands import parse_target
from bot.model.ids import RequestId, RunId
from bot.model.people import Person, PersonFacts
from bot.model.requests import Request, State
from bot.model.restores import Wanted
from bot.model.runs import Job, Run
from bot.model.targets import Target
from bot.postgres.binaries import Binaries
from bot.postgres.plain import PlainServer
from jobs.context import Cancelled, JobContext, utc_now
from tests.jobs import CLUSTER, Installation
from tests.places import for_servers
from tests.servers import FAST

TEAM = "T1"
ENGINEER, DBA = Person(TEAM, "UENGINEER"), Person(TEAM, "UDBA")
RIGHTS = {"approval": '{ requesters = ["everyone"], approvers = ["UDBA"] }'}
"""For `install(extra=...)`: everyone may ask, the DBA approves."""


@contextmanager
def lasting_server(
    binaries: Binaries, template: Callable[..., Path], account: Account, settings: Mapping[str, str], *options: str
) -> Iterator[tuple[Path, PlainServer]]:
    """Start a server for a whole module, made with initdb `options`; yield a folder of its own beside it, and the server."""
    home = Path(tempfile.mkdtemp(prefix="ps-", dir=for_servers()))
    try:
        home.chmod(0o755)
        subprocess.run(["cp", "-a", template(binaries, options), home / "data"], check=True)
        (home / "socket").mkdir()
        (home / "socket").chmod(0o777)
        with PlainServer.start(
            binaries,
            home / "data",
            account,
            socket_dir=home / "socket",
            settings={**FAST, **settings},
            log=home / "log",
        ) as server:
            yield home, server
    finally:
        shutil.rmtree(home)


def facts(person: Person) -> PersonFacts:
    """Return what Slack says about a full member now."""
    return PersonFacts(person, person.user.removeprefix("U").title(), "UTC", utc_now())


def refresh(ledger: Ledger) -> None:
    """Bring the ledger's facts about both people up to date, as the leader does just before a claim."""
    with ledger.transaction() as tx:
        people.set_team(tx, TEAM)
        for person in (ENGINEER, DBA):
            people.put(tx, facts(person))


def ask(here: Installation, target: Target | str, *, directory: Path | None = None, port: int | None = None) -> Request:
    """Ask for a recovery as the engineer, and make the plan here; the request is PROPOSED then, or REFUSED."""
    wanted = target if isinstance(target, Target) else parse_target(target, now=utc_now(), zone=UTC)
    to = {"kind": "beside", "directory": str(directory) if directory else None, "port": port}
    return asked(here, "pitr", wanted, str(target), to)


def caller(here: Installation, by: Person, **how: Any) -> Caller:
    """Return somebody who calls now, with fresh facts."""
    policy = here.config.cluster(CLUSTER).policy
    given = {"key": os.urandom(8).hex(), "at": utc_now(), "facts": facts(by), **how}
    return Caller(by=by, policy=policy, entropy=os.urandom(12), **given)


def asked(here: Installation, verb: str, target: Target | Wanted, text: str, destination: dict[str, Any]) -> Request:
    """Ask for anything as the engineer, and make the plan here; the request is PROPOSED then, or REFUSED."""
    refresh(here.ledger)
    request = desk.ask(
        here.ledger,
        caller(here, ENGINEER, name="Engineer"),
        verb=verb,
        cluster=CLUSTER,
        target=target,
        target_text=text,
        destination=destination,
        reason="the test wants it",
    )
    assert request.run is not None
    carry_out(here, request.run)
    return get(here, request.id)


def approved(
    here: Installation, target: Target | str, *, directory: Path | None = None, port: int | None = None
) -> Request:
    """Ask, confirm as the engineer, approve as the DBA."""
    return agreed(here, ask(here, target, directory=directory, port=port))


def agreed(here: Installation, planned: Request) -> Request:
    """Confirm a planned request as the engineer, approve it as the DBA."""
    assert planned.state is State.PROPOSED, planned.outcome
    desk.confirm(here.ledger, caller(here, ENGINEER), planned.id, reason="")
    return desk.approve(here.ledger, caller(here, DBA), planned.id)


def queue_executor(here: Installation, request: RequestId) -> Run:
    """Queue the run that carries an approved request out, with fresh facts, as the supervisor does."""
    refresh(here.ledger)
    return desk.queue_run(
        here.ledger,
        job=Job.EXECUTE,
        cluster=CLUSTER,
        args={},
        by=ENGINEER.key,
        at=utc_now(),
        entropy=os.urandom(8),
        request=request,
    )


def execute(here: Installation, request: RequestId, *, prepare: Callable[[JobContext], None] | None = None) -> Request:
    """Carry an approved request out here, and return what became of it. `prepare` gets the run's context before it starts."""
    carry_out(here, queue_executor(here, request).id, prepare=prepare)
    return get(here, request)


def carry_out(here: Installation, run: RunId, *, prepare: Callable[[JobContext], None] | None = None) -> Run:
    """Execute a queued run in this process; it ends in the ledger as it would in a process of its own."""
    ledger = here.ledger
    context = JobContext(desk.start_run(ledger, run, utc_now()), here.config, ledger)
    if prepare is not None:
        prepare(context)
    try:
        result = job_function(context.run.job)(context)
    except Cancelled:
        context.close()
        return desk.cancel_run(ledger, run, utc_now())
    except PitstopError as error:
        context.close()
        return desk.fail_run(ledger, run, error.as_json(), utc_now())
    context.close()
    return desk.finish_run(ledger, run, result, utc_now())


def get(here: Installation, request: RequestId) -> Request:
    """Return the request as it is now."""
    with here.ledger.read() as tx:
        return requests.get(tx, request)


def remove_server(here: Installation, request: RequestId) -> None:
    """Stop and remove the server a request started, as its Remove button does."""
    run = desk.remove_server(here.ledger, caller(here, ENGINEER), request)
    ended = carry_out(here, run.id)
    assert ended.error is None, ended.error


def run_of(here: Installation, run: RunId) -> Run:
    """Return a run as it is now."""
    with here.ledger.read() as tx:
        return runs.get(tx, run)
