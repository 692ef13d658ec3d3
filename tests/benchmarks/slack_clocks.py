"""Slack's three seconds: how long acknowledgements take while base backups run and sockets are refreshed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot import desk
from bot.demo.stage import CLUSTER, Stage, stage
from bot.demo.story import APPROVALS, DBA, ENGINEER, RESULTS
from bot.ledger import runs
from bot.model.ids import ClusterName
from bot.model.runs import Job
from bot.sandbox.driver import Driver, Message
from bot.sandbox.limits import ACK_S
from bot.slack.cards import actions
from jobs.context import utc_now
from tests.benchmarks.data import fill
from tests.benchmarks.ground import Ground, Options, start_alike
from tests.benchmarks.summary import Headline, Latencies, Report, Requirement, latencies

ABOUT = "Slack's clocks: from frame sent to ack received, in bursts of 50 while base backups run and sockets refresh"
NEEDS = ("PostgreSQL 15",)
AT_ONCE = 50
EVERY_S = 1.0
REFRESH_AFTER = 8
"""Bursts between two refreshes of the socket; each comes in the middle of a burst."""
_COMMANDS = (
    "/backup",
    f"/backup list {CLUSTER}",
    "/backup help",
    "/backup now nowhere",
    "/pitr help",
    f"/pitr {CLUSTER} the day before yesterday or so",
)
_WAIT_S = 60.0


def run(ground: Ground, options: Options) -> Report:
    """Let people type and press in the sandbox, with the real bot, and read the sandbox's own record of every delivery."""
    count = 200 if options.quick else 2_000
    size_mb = options.size(800)
    with stage(directory=ground.root / "stage") as scene:
        fill(scene.dsn, size_mb)
        driver = scene.driver
        driver.fault("rate_limits", enabled=False)
        with _backups(scene) as backups:
            card = _card(driver)
            before = len(driver.deliveries())
            began = time.monotonic()
            refreshes = _let_people_act(driver, _bursts(count, card))
            seconds = time.monotonic() - began
            found = [d for d in driver.deliveries()[before:] if d.kind in {"slash_commands", "interactive"}]
    start_alike(ground.root / "stage")
    kinds = sorted({d.kind for d in found})
    by_kind = {kind: latencies((d.seconds for d in found if d.kind == kind), within_s=ACK_S) for kind in kinds}
    whole = latencies((d.seconds for d in found), within_s=ACK_S)
    return Report(
        name="slack-clocks",
        conditions=f"{whole.count} commands and clicks in bursts of {AT_ONCE}, one burst a second, {seconds:.0f} s; "
        f"base backups of {size_mb} MB one after the other ({backups.finished} finished meanwhile); "
        f"{len(refreshes)} socket refreshes",
        headers=("", "count", "p50 ms", "p95 ms", "p99 ms", "max ms", "missed"),
        rows=[_row(kind, found_of_kind) for kind, found_of_kind in by_kind.items()] + [_row("all", whole)],
        data={
            "all": whole.as_json(),
            "by_kind": {kind: found_of_kind.as_json() for kind, found_of_kind in by_kind.items()},
            "backups_finished": backups.finished,
            "refreshed_at_s": [round(at - began, 2) for at in refreshes],
            "missed_sent_at_s": [
                round((d.sent_at or began) - began, 2) for d in found if (d.seconds or ACK_S) >= ACK_S
            ],
        },
        requirements=(
            Requirement("99th percentile", whole.p99 * 1000, 300, "ms"),
            Requirement("acknowledgements missed", whole.missed, 0),
        ),
        headlines=[
            Headline(
                f"Slack's clock, {whole.count} commands and clicks beside backups",
                "",
                more=f"99th percentile {whole.p99 * 1000:.0f} ms, {whole.missed} missed",
                wanted="300 ms, none missed",
            )
        ],
        notes=(
            "The sandbox, the people and PostgreSQL share the machine with the bot; Slack's own servers would not.",
        ),
    )


class _Backups(threading.Thread):
    """Base backups one after the other, spawned by the bot as if they were due; `finished` counts them."""

    def __init__(self, scene: Stage) -> None:
        super().__init__(name="backups", daemon=True)
        self.finished = 0
        self.copying = threading.Event()
        self._scene = scene
        self._over = threading.Event()

    def run(self) -> None:
        """Keep one running until `end`."""
        while not self._over.is_set():
            ledger = self._scene.ledger
            queued = desk.queue_run(
                ledger, job=Job.BASE_BACKUP, cluster=ClusterName(CLUSTER), args={}, by="pitstop", at=utc_now(),
                entropy=os.urandom(8),
            )  # fmt: skip
            while not self._over.wait(0.1):
                with ledger.read() as tx:
                    found = runs.get(tx, queued.id)
                assert found is not None
                if found.state.value in {"failed", "interrupted", "cancelled"}:
                    raise RuntimeError(f"the backup {found.state.value}: {found.error}")
                if any(phase.name == "copy" for phase in found.phases):
                    self.copying.set()
                if found.state.value == "succeeded":
                    self.finished += 1
                    break

    def end(self) -> None:
        """Start no other; the one that runs is ended with the stage."""
        self._over.set()
        self.join()


@contextmanager
def _backups(scene: Stage) -> Iterator[_Backups]:
    """Run base backups for as long as the block lasts; it begins when data is being copied."""
    backups = _Backups(scene)
    backups.start()
    try:
        if not backups.copying.wait(_WAIT_S):
            raise RuntimeError("no base backup began to copy")
        yield backups
        if not backups.is_alive():
            raise RuntimeError("base backups stopped early; see the bot's log")
    finally:
        backups.end()


def _card(driver: Driver) -> Message:
    """Ask for a recovery and send it for approval; return its card, whose button everybody will press in vain."""
    driver.wait_for(_finished, _WAIT_S, what="a first finished backup")
    driver.command(ENGINEER, RESULTS, f"/pitr {CLUSTER} latest reason: measuring")
    plan = driver.wait_for(lambda d: _with(d.dm(ENGINEER), actions.CONFIRM), _WAIT_S, what="a plan to confirm")
    driver.click(ENGINEER, plan, actions.CONFIRM)
    return driver.wait_for(lambda d: _with(d.messages(APPROVALS), actions.APPROVE), _WAIT_S, what="a card to approve")


def _finished(driver: Driver) -> Message | None:
    return next((m for m in driver.messages(RESULTS) if "✅" in m.full_text), None)


def _with(messages: list[Message], action: str) -> Message | None:
    return next((message for message in reversed(messages) if message.has_button(action)), None)


def _bursts(count: int, card: Message) -> list[list[dict[str, Any]]]:
    """Return what people do: by turns a command and a click; half of the commands are recorded, like every click."""
    click = {"user": ENGINEER, "channel": card.channel, "ts": card.ts, "action_id": actions.APPROVE}
    steps = []
    for number in range(count):
        if number % 2:
            steps.append({"verb": "click", "body": click})
        else:
            text = _COMMANDS[number // 2 % len(_COMMANDS)]
            user = (ENGINEER, DBA)[number // 2 % 2]
            steps.append({"verb": "command", "body": {"user": user, "channel": RESULTS, "text": text}})
    return [steps[start : start + AT_ONCE] for start in range(0, count, AT_ONCE)]


def _let_people_act(driver: Driver, bursts: list[list[dict[str, Any]]]) -> list[float]:
    """Let everybody act, refreshing the socket now and then; return when (monotonic seconds, as the sandbox's clock)."""
    told = json.dumps({"bursts": bursts, "every_s": EVERY_S})
    argv = [sys.executable, "-m", "tests.benchmarks.people", driver.url]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as people:
        assert people.stdin is not None
        people.stdin.write(told)
        people.stdin.close()
        refreshes: list[float] = []
        deadline = time.monotonic() + 3 * EVERY_S * len(bursts) + _WAIT_S
        next_refresh = time.monotonic() + EVERY_S * (REFRESH_AFTER / 2)
        while people.poll() is None:
            if time.monotonic() > deadline:
                people.kill()
                raise RuntimeError("the people did not come to an end")
            if time.monotonic() > next_refresh:
                refreshes.append(time.monotonic())
                driver.fault("refresh")
                next_refresh += EVERY_S * REFRESH_AFTER
            time.sleep(0.02)
        if people.returncode != 0:
            raise RuntimeError(f"the people ended with {people.returncode}")
    return refreshes


def _row(name: str, found: Latencies) -> tuple[str, ...]:
    times = (found.p50, found.p95, found.p99, found.slowest)
    return (name, str(found.count), *(f"{value * 1000:.0f}" for value in times), str(found.missed))
