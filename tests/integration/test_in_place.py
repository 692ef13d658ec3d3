"""A restore in place: beside, checked, swapped under a running application; its undo; and what is left when something dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot import desk
from bot.config import load
from bot.errors import PitstopError
from bot.host import processes
from bot.model.kept import KeptState
from bot.model.requests import State
from bot.model.runs import Job
from bot.model.swaps import SwapStep
from bot.postgres.plain import PlainServer
from bot.process.watching import process_of
from jobs.context import JobContext, utc_now
from jobs.in_place import put_back
from jobs.kept import remove as remove_kept
from tests.commands import Typed
from tests.servers import FAST, PlainServerFactory, execute
from tests.supervised import Supervised
from tests.swaps import Shop, open_shop, until, writing

pytestmark = pytest.mark.pg
CORPSES = {"max_connections": "40", "max_prepared_transactions": "5"}


@contextmanager
def page(answer: Callable[[], int]) -> Iterator[str]:
    """Serve a health page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer())
            self.end_headers()
            self.wfile.write(b"password=secret is wrong")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/health"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hooks(home: Path, *, before: str = "", after: str = "") -> str:
    """Return a [hooks] table whose commands write down that they ran, and then do what is said."""
    said = home / "said"
    return (
        f"\n[clusters.slips.hooks]\nlimit = '20s'\n"
        f"before = [['/bin/sh', '-c', 'echo stopped >> {said}; {before}']]\n"
        f"after = [['/bin/sh', '-c', 'echo started >> {said}; {after}']]\n"
    )


def said(shop: Shop) -> list[str]:
    """Return what the hooks wrote down."""
    path = shop.installation.home / "said"
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize(
    "major", [pytest.param(15, marks=pytest.mark.full), pytest.param(16, marks=pytest.mark.full), 18]
)
def test_the_newest_dump_takes_the_place_of_the_live_database_and_undo_brings_it_back(
    plain_server: PlainServerFactory, tmp_path: Path, major: int
) -> None:
    """Under a running application: its sessions are sent away once, the page is asked, nothing is lost for good either way."""
    server = plain_server(major, settings=CORPSES)
    with page(lambda: 200) as url:
        health = f"\n[clusters.slips.health]\nurl = '{url}'\n"
        shop = open_shop(server, tmp_path, settings=hooks(tmp_path) + health)
        log = tmp_path / "app.log"
        log.write_text("starting\npassword=hunter2 <@U1> ready\n")
        with writing(server) as application:
            until(lambda: application.written > 50)
            request, result = shop.restore()
            written = application.written
            until(lambda: application.written > written + 50)
        assert set(application.told) <= {"57P01", None}, application.told
        assert request.state is State.SUCCEEDED
        assert result["sessions_ended"] >= 1
        assert {check["ok"] for check in result["checks"] if check["ok"] is not None} == {True}
        assert said(shop) == ["stopped", "started"]
        assert shop.sql("SELECT count(*) FROM orders WHERE what = 'early'") == [(100,)]
        kept = shop.kept(request.id)
        assert kept is not None
        assert shop.databases() == {"shop", kept.name}
        [(owner, comment)] = shop.sql(
            "SELECT pg_get_userbyid(datdba)::text, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'shop'"
        )
        assert (owner, comment) == ("owner", "the shop")
        assert shop.sql("SHOW work_mem") == [("5MB",)]
        assert request.plan is not None
        assert request.plan.facts.lost is not None
        assert request.plan.facts.lost.connections >= 1

        with writing(server) as application:
            until(lambda: application.written > 20)
            back, _ = shop.restore(undo=request.id)
        assert back.state is State.SUCCEEDED
        assert shop.sql("SELECT count(*) FROM orders WHERE what = 'early'") == [(50,)]
        assert said(shop) == ["stopped", "started"] * 2
    was, now = shop.kept(request.id), shop.kept(back.id)
    assert was is not None
    assert now is not None
    assert (was.state, now.state) == (KeptState.BACK, KeptState.KEPT)
    assert shop.databases() == {"shop", now.name}
    assert "_undone_" in now.name
    again = desk.remove_kept(shop.installation.ledger, shop.caller(request.requester), back.id)
    run = desk.start_run(shop.installation.ledger, again.id, utc_now())
    context = JobContext(run, shop.installation.config, shop.installation.ledger)
    assert remove_kept(context)["state"] == "removed"
    context.close()
    assert shop.databases() == {"shop"}


@pytest.mark.parametrize(("before", "trouble"), [("exit 3", "exit code 3"), ("sleep 60", "did not end in time")])
def test_a_command_before_that_fails_or_hangs_changes_nothing(
    plain_server: PlainServerFactory, tmp_path: Path, before: str, trouble: str
) -> None:
    """The application is started again, the copy is gone, and the sentence says which database serves."""
    table = hooks(tmp_path, before=before).replace("20s", "1s")
    shop = open_shop(plain_server(18, settings=CORPSES), tmp_path, settings=table)
    with pytest.raises(PitstopError) as failed:
        shop.restore()
    assert failed.value.reason_code == "hook-failed"
    assert trouble in failed.value.message
    assert "The database shop of before serves." in failed.value.message
    assert [hook["when"] for hook in failed.value.as_json()["hooks"]] == ["before", "after"]
    assert said(shop) == ["stopped", "started"]
    assert (shop.orders(), shop.databases()) == (50, {"shop"})


def test_a_command_after_that_fails_is_told_and_undo_is_there(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """The swap stays: the report says what failed, with its last words, and what is kept can be brought back."""
    shop = open_shop(
        plain_server(18, settings=CORPSES), tmp_path, settings=hooks(tmp_path, after="echo no such unit; exit 5")
    )
    request, result = shop.restore()
    assert request.state is State.SUCCEEDED
    [bad] = [check for check in result["checks"] if check["ok"] is False]
    assert "exit code 5" in bad["detail"]
    assert result["hooks"][-1]["output"] == "no such unit"
    assert shop.orders() == 100
    back, _ = shop.restore(undo=request.id)
    assert (back.state, shop.orders()) == (State.SUCCEEDED, 50)


def test_a_file_of_an_older_script_takes_the_place_of_the_live_database(
    plain_server: PlainServerFactory, tmp_path: Path
) -> None:
    """What the strategy's restore did: by the file's name, swapped in whole, the live one kept; no counts were recorded."""
    server, old = plain_server(18, settings=CORPSES), tmp_path / "old"
    old.mkdir()
    shop = open_shop(server, tmp_path, settings=f"\n[clusters.slips.old_backups]\ndirectory = '{old}'\n")
    tool = str(server.binaries.tool("pg_dump"))
    subprocess.run([tool, "-Fc", "-f", str(old / "shop.backup"), "-d", server.dsn("shop")], check=True)
    shop.sql("DELETE FROM orders")
    request, result = shop.restore(backup="shop.backup")
    assert request.state is State.SUCCEEDED
    assert shop.orders() == 50
    assert {check["ok"] for check in result["checks"]} <= {True, None}
    kept = shop.kept(request.id)
    assert kept is not None
    assert shop.databases() == {"shop", kept.name}


@pytest.mark.parametrize("undo", [True, False])
def test_a_page_that_is_not_well(plain_server: PlainServerFactory, tmp_path: Path, undo: bool) -> None:
    """With `undo` the old database is back before the report; without, the report says so; secrets of the page are not in it."""
    with page(lambda: 503) as url:
        health = f"\n[clusters.slips.health]\nurl = '{url}'\nwithin = '1s'\nundo = {str(undo).lower()}\n"
        shop = open_shop(plain_server(18, settings=CORPSES), tmp_path, settings=hooks(tmp_path) + health)
        request = shop.approved()
        run = shop.queue(request.id)
        if undo:
            with pytest.raises(PitstopError) as failed:
                shop.carry_out(run)
            assert failed.value.reason_code == "unhealthy"
            assert "secret" not in failed.value.message
            assert "of before serves" in failed.value.message
            assert (shop.orders(), said(shop)) == (50, ["stopped", "started"] * 2)
            kept = shop.kept(request.id)
            assert kept is not None
            assert "_undone_" in kept.name
            assert shop.databases() == {"shop", kept.name}
            assert shop.request(request.id).state is State.FAILED
        else:
            result = shop.carry_out(run)
            [bad] = [check for check in result["checks"] if check["ok"] is False]
            assert "HTTP 503" in bad["detail"]
            assert "secret" not in str(result)
            assert shop.orders() == 100


def test_what_is_in_the_way_is_said_before_anything_is_asked(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A prepared transaction, or a command that is not there, refuses the plan; one that comes later voids it; losses are told."""
    server = plain_server(18, settings={**CORPSES, "wal_level": "logical"})
    shop = open_shop(server, tmp_path)
    shop.sql("CREATE PUBLICATION everything FOR ALL TABLES")
    shop.sql("CREATE SCHEMA later")
    shop.sql('CREATE TABLE later."Since" (n int)')
    shop.sql("CREATE EXTENSION hstore")
    shop.sql("SELECT pg_create_logical_replication_slot('follower', 'pgoutput')")
    with psycopg.connect(server.dsn("shop"), autocommit=True) as session:
        session.execute("BEGIN; DELETE FROM orders; PREPARE TRANSACTION 'half'")
    refused = shop.ask()
    assert refused.state is State.REFUSED
    assert refused.outcome is not None
    assert refused.outcome["code"] == "prepared-transactions"
    shop.sql("ROLLBACK PREPARED 'half'")
    request = shop.approved()
    assert request.plan is not None
    warnings = " ".join(request.plan.facts.warnings)
    assert "Logical slot follower" in warnings
    assert "publication everything" in warnings
    assert "lacks this table of shop, left to the kept database alone: later.Since." in warnings
    with psycopg.connect(server.dsn("shop"), autocommit=True) as session:
        session.execute("BEGIN; DELETE FROM orders; PREPARE TRANSACTION 'half'")
    with pytest.raises(PitstopError) as void:
        shop.carry_out(shop.queue(request.id))
    assert "half" in void.value.message
    assert shop.request(request.id).state is State.VOID
    shop.sql("ROLLBACK PREPARED 'half'")
    assert (shop.orders(), shop.databases()) == (50, {"shop"})
    settings = tmp_path / "hooked.toml"
    settings.write_text(
        f'{shop.installation.config_path.read_text()}\n[clusters.slips.hooks]\nafter = [["/nowhere/start", "shop"]]\n'
    )
    hooked = Shop(server, replace(shop.installation, config_path=settings, config=load(settings)[0])).ask()
    assert (hooked.state, (hooked.outcome or {})["code"]) == (State.REFUSED, "hook-missing")
    assert "/nowhere/start is not there" in (hooked.outcome or {})["message"]


def test_a_cancelled_swap_is_taken_back(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Cancelled while the application starts: the database of before is back, and the application with it."""
    shop = open_shop(plain_server(18, settings=CORPSES), tmp_path, settings=hooks(tmp_path, after="sleep 1"))
    request = shop.approved()
    run = shop.queue(request.id)
    process = shop.spawn(run.id)
    try:
        until(lambda: shop.step(request.id) is SwapStep.START, "the start")
        desk.cancel(shop.installation.ledger, shop.caller(request.requester), request.id)
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    finally:
        process.kill()
        process.wait()
    assert shop.request(request.id).state is State.CANCELLED
    assert shop.orders() == 50
    assert said(shop) == ["stopped", "started"] * 2


KILLS = [
    (SwapStep.STOP, "resumed"),
    (SwapStep.SWAP, "resumed"),
    (SwapStep.RESTORE, "given up"),
    (SwapStep.START, "given up"),
]
ALL_KILLS = [(step, after) for step in list(SwapStep)[:5] for after in ("resumed", "given up")]


@pytest.mark.parametrize(
    ("step", "after"), [pytest.param(*kill, marks=[] if kill in KILLS else pytest.mark.full) for kill in ALL_KILLS]
)
def test_killed_at_any_step_a_database_serves_and_the_rest_is_finished_or_put_back(
    plain_server: PlainServerFactory, tmp_path: Path, step: SwapStep, after: str
) -> None:
    """`kill -9` of the executor under a running application; then it is taken up again, or cleared up after."""
    server = plain_server(18, settings=CORPSES)
    answers = iter([503] * 4)
    with page(lambda: next(answers, 200)) as url:
        health = f"\n[clusters.slips.health]\nurl = '{url}'\nwithin = '30s'\n"
        shop = open_shop(server, tmp_path, settings=hooks(tmp_path, before="sleep 0.3", after="sleep 0.3") + health)
        request = shop.approved()
        run = shop.queue(request.id)
        with writing(server) as application:
            _killed_in(shop, run.id, request.id, step)
            written = application.written
            until(lambda: application.written > written + 20, "a serving database")
        serving = shop.sql("SELECT count(*) FROM orders WHERE what = 'early'")
        assert serving in ([(50,)], [(100,)])
        if step in {SwapStep.RESTORE, SwapStep.STOP}:
            assert serving == [(50,)]
        if step in {SwapStep.START, SwapStep.HEALTH}:
            assert serving == [(100,)]
        desk.interrupt_run(shop.installation.ledger, run.id, utc_now())
        if after == "resumed":
            _resume(shop, request.id)
        else:
            _give_up(shop, request.id, swapped=serving == [(100,)])


@pytest.mark.parametrize("after", ["resumed", pytest.param("given up", marks=pytest.mark.full)])
def test_killed_while_it_is_put_back_the_database_of_before_serves_in_the_end(
    plain_server: PlainServerFactory, tmp_path: Path, after: str
) -> None:
    """`kill -9` while an unhealthy swap is taken back, under a running application: one serves, and taking back is finished."""
    server = plain_server(18, settings=CORPSES)
    with page(lambda: 503) as url:
        health = f"\n[clusters.slips.health]\nurl = '{url}'\nwithin = '1s'\nundo = true\n"
        shop = open_shop(server, tmp_path, settings=hooks(tmp_path, before="sleep 0.3", after="sleep 0.3") + health)
        request = shop.approved()
        run = shop.queue(request.id)
        with writing(server) as application:
            _killed_in(shop, run.id, request.id, SwapStep.PUT_BACK)
            written = application.written
            until(lambda: application.written > written + 20, "a serving database")
        desk.interrupt_run(shop.installation.ledger, run.id, utc_now())
        if after == "resumed":
            again = desk.resume(shop.installation.ledger, request.id, at=utc_now(), entropy=os.urandom(8))
            with pytest.raises(PitstopError) as failed:
                shop.carry_out(again)
            assert failed.value.reason_code == "put-back"
            assert "of before serves" in failed.value.message
            assert shop.request(request.id).state is State.FAILED
        else:
            _give_up(shop, request.id, swapped=False, keeps=True)
    assert shop.sql("SELECT count(*) FROM orders WHERE what = 'early'") == [(50,)]
    assert said(shop)[-1] == "started"
    assert all("_undone_" in name for name in shop.databases() - {"shop"})


def _killed_in(shop: Shop, run: Any, request: Any, step: SwapStep) -> None:
    process = shop.spawn(run)
    try:
        until(lambda: shop.step(request) is step, step.value)
    finally:
        process.kill()
        process.wait()


KILLED_AT_THE_END = """
import os, runpy, signal, sys
from bot import desk
desk.succeed = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
runpy.run_module("bot", run_name="__main__")
"""


@pytest.mark.parametrize("after", ["resumed", pytest.param("given up", marks=pytest.mark.full)])
def test_killed_after_the_last_step_the_new_database_serves(
    plain_server: PlainServerFactory, tmp_path: Path, after: str
) -> None:
    """`kill -9` between the journal's last step and the word that it succeeded: the new one serves and the old one is kept."""
    shop = open_shop(plain_server(18, settings=CORPSES), tmp_path, settings=hooks(tmp_path))
    request = shop.approved()
    run = shop.queue(request.id)
    argv = [sys.executable, "-c", KILLED_AT_THE_END, "--config", str(shop.installation.config_path), "job", run.id]
    killed = subprocess.run(argv, check=False, cwd=Path(__file__).parents[2], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert shop.step(request.id) is SwapStep.DONE
    assert shop.sql("SELECT count(*) FROM orders WHERE what = 'early'") == [(100,)]
    desk.interrupt_run(shop.installation.ledger, run.id, utc_now())
    if after == "resumed":
        _resume(shop, request.id)
    else:
        _give_up(shop, request.id, swapped=True)


def _resume(shop: Shop, request: Any) -> None:
    run = desk.resume(shop.installation.ledger, request, at=utc_now(), entropy=os.urandom(8))
    shop.carry_out(run)
    assert shop.request(request).state is State.SUCCEEDED
    assert shop.sql("SELECT count(*) FROM orders WHERE what = 'early'") == [(100,)]
    kept = shop.kept(request)
    assert kept is not None
    assert shop.databases() == {"shop", kept.name}
    assert said(shop)[-1] == "started"


def _give_up(shop: Shop, request: Any, *, swapped: bool, keeps: bool | None = None) -> None:
    run = desk.queue_run(
        shop.installation.ledger, job=Job.PLAN, cluster=shop.request(request).cluster, args={"request": request},
        by="pitstop", at=utc_now(), entropy=os.urandom(8),
    )  # fmt: skip
    context = JobContext(
        desk.start_run(shop.installation.ledger, run.id, utc_now()), shop.installation.config, shop.installation.ledger
    )
    for _ in range(2):
        answer = put_back(context)
    context.close()
    assert answer["serving"] == ("the other" if swapped else "as before")
    kept = shop.kept(request)
    assert shop.databases() == ({"shop", kept.name} if kept else {"shop"})
    assert (kept is not None) is (swapped if keeps is None else keeps)
    if said(shop):
        assert said(shop)[-1] == "started"


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(SwapStep.RESTORE, marks=pytest.mark.full),
        pytest.param(SwapStep.STOP, marks=pytest.mark.full),
        SwapStep.SWAP,
        SwapStep.START,
    ],
)
def test_the_server_killed_at_any_step_serves_again_and_the_executor_goes_on_or_says_which(
    plain_server: PlainServerFactory, tmp_path: Path, step: SwapStep
) -> None:
    """`kill -9` of PostgreSQL between two steps: after its recovery one whole database has the name, and the application runs."""
    server = plain_server(18, settings={**CORPSES, "fsync": "on"})
    shop = open_shop(server, tmp_path, settings=hooks(tmp_path, before="sleep 0.3", after="sleep 0.3"))
    request = shop.approved()
    run = shop.queue(request.id)
    process = shop.spawn(run.id)
    again: PlainServer | None = None
    try:
        until(lambda: shop.step(request.id) is step, step.value)
        processes.signal(server.identity, signal.SIGKILL)
        processes.wait_gone(server.identity, 30)
        until(lambda: not processes.working_in(server.data_directory), "the end of its sessions")
        again = PlainServer.start(
            server.binaries, server.data_directory, server.account, socket_dir=server.socket_dir,
            settings={**FAST, **CORPSES, "fsync": "on"}, log=server.log,
        )  # fmt: skip
        process.wait(180)
        state = shop.request(request.id).state
        assert state in {State.SUCCEEDED, State.FAILED}
        assert shop.sql("SELECT count(*) FROM orders WHERE what = 'early'") == [
            (100 if state is State.SUCCEEDED else 50,)
        ]
        if state is State.FAILED:
            outcome = shop.request(request.id).outcome
            assert outcome is not None
            assert "of before serves" in outcome["message"]
        assert not said(shop) or said(shop)[-1] == "started"
        kept = shop.kept(request.id)
        assert shop.databases() == ({"shop", kept.name} if kept else {"shop"})
    finally:
        process.kill()
        process.wait()
        if again is not None:
            again.stop("immediate")


def test_a_kept_database_that_is_not_what_was_kept_is_not_removed(
    plain_server: PlainServerFactory, tmp_path: Path
) -> None:
    """Another database of that name, or one without Pitstop's note, stays, whatever the ledger says."""
    shop = open_shop(plain_server(18, settings=CORPSES), tmp_path)
    request, _ = shop.restore()
    kept = shop.kept(request.id)
    assert kept is not None
    name = kept.name
    for change, back in (
        (f"COMMENT ON DATABASE {name} IS 'mine now'", ""),
        (f"ALTER DATABASE {name} RENAME TO taken", "ALTER DATABASE taken RENAME TO other"),
    ):
        execute(shop.server, change)
        run = desk.queue_run(
            shop.installation.ledger, job=Job.KEPT_REMOVE, cluster=request.cluster,
            args={"database": name, "oid": kept.oid}, by="pitstop", at=utc_now(), entropy=os.urandom(8), request=request.id,
        )  # fmt: skip
        context = JobContext(
            desk.start_run(shop.installation.ledger, run.id, utc_now()),
            shop.installation.config,
            shop.installation.ledger,
        )
        with pytest.raises(PitstopError) as strange:
            remove_kept(context)
        assert strange.value.reason_code == "kept-strange"
        context.close()
        desk.fail_run(shop.installation.ledger, run.id, strange.value.as_json(), utc_now())
        if back:
            execute(shop.server, back)
    assert len(shop.databases()) == 2


def test_the_supervisor_goes_on_with_it_and_after_three_deaths_puts_it_back(
    plain_server: PlainServerFactory, tmp_path: Path
) -> None:
    """Killed once it is taken up by itself; killed three times it has failed, the application runs, no half copy is left."""
    shop = open_shop(plain_server(18, settings=CORPSES), tmp_path, settings=hooks(tmp_path, before="sleep 1"))
    supervised = Supervised(shop.installation)
    try:
        first = shop.approved()
        run = supervised.start(first.id)
        until(lambda: shop.step(first.id) is SwapStep.STOP, "the stop")
        supervised.kill(run)
        assert supervised.until_ended(first.id).state is State.SUCCEEDED
        assert (shop.orders(), said(shop)[-1]) == (100, "started")

        second = shop.approved(undo=first.id)
        run = supervised.start(second.id)
        for death in range(3):
            until(lambda: shop.step(second.id) is SwapStep.STOP, "the stop")
            supervised.kill(run)
            supervised.round()
            if death < 2:
                run = supervised.executor(second.id)
                until(lambda run=run: process_of(supervised.place, run) is not None, "the next attempt")  # type: ignore[misc]
        ended = supervised.until_ended(second.id)
        assert ended.state is State.FAILED
        assert ended.outcome is not None
        assert ended.outcome["code"] == "interrupted"
        assert (shop.orders(), said(shop)[-1]) == (100, "started")
        kept = shop.kept(first.id)
        assert kept is not None
        assert shop.databases() == {"shop", kept.name}
        assert shop.restore(undo=first.id)[0].state is State.SUCCEEDED
        assert shop.orders() == 50
    finally:
        supervised.end_runs()


def test_the_plan_counts_what_is_given_up(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """With the WAL at hand every transaction that wrote since the dump is counted, aborted and reading ones are not."""
    shop = open_shop(plain_server(18, settings={**CORPSES, "wal_level": "replica", "autovacuum": "off"}), tmp_path)
    with shop.installation.receiving():
        shop.installation.run(Job.BASE_BACKUP)
        shop.installation.run(Job.DUMP)
        for number in range(7):
            shop.sql(f"INSERT INTO orders (what) VALUES ('{number}')")
            shop.sql("SELECT count(*) FROM orders")
        with psycopg.connect(shop.server.dsn("shop")) as session:
            session.execute("INSERT INTO orders (what) VALUES ('never')")
            session.rollback()
        plan = shop.ask().plan
    assert plan is not None
    assert plan.facts.lost is not None
    assert plan.facts.lost.transactions == 7
    assert plan.facts.lost.wal_bytes


def test_the_command_line_shows_keeps_undoes_and_removes(
    plain_server: PlainServerFactory, tmp_path: Path, typed: Typed
) -> None:
    """Plans with their commands before anything is done; what is kept is listed, kept longer, planned back, and dropped once."""
    shop = open_shop(plain_server(18, settings=CORPSES), tmp_path, settings=hooks(tmp_path))
    config = shop.installation.config_path
    dry = typed("restore", "slips", "--in-place", "--dry-run", "--json", config=config)
    assert dry.code == 0, dry.err
    steps = dry.json["steps"]
    assert (steps["destination"]["kind"], steps["overwrites"]) == ("in-place", ["shop"])
    assert steps["restoration"]["hooks"]["before"][0][0] == "/bin/sh"
    request, _ = shop.restore()
    [listed] = typed("kept", "list", "--json", config=config).json["kept"]
    assert (listed["request"], listed["database"], listed["state"]) == (request.id, "shop", "kept")
    longer = typed("kept", "keep", request.id, "--by", "2d", "--json", config=config).json
    assert longer["remove_at"] > listed["remove_at"]
    back = typed("kept", "undo", request.id, "--dry-run", config=config)
    assert "give slips the database back that request" in back.out
    wrong = typed("restore", "slips", "--in-place", "--table", "orders", "--dry-run", "--json", config=config)
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "in-place-whole")
    gone = typed("kept", "remove", request.id, "--json", config=config)
    assert gone.json["state"] == "removed"
    assert shop.databases() == {"shop"}
    again = typed("kept", "undo", request.id, "--dry-run", "--json", config=config)
    assert again.json["error"]["code"] == "kept-removed"
    assert typed("kept", "remove", request.id, "--json", config=config).json["error"]["code"] == "kept-removed"
