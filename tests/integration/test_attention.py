"""Who is reached when Slack is not there: the fallback over real HTTP, the heartbeat, and what Prometheus fetches."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot import desk
from bot.attention import Attention
from bot.commands.check_attention import attention_points
from bot.config import Config
from bot.errors import Unavailable, Usage
from bot.ledger import alerts, audit, catalogue, people
from bot.metrics import serve_metrics
from bot.model.alerts import Alert, AlertState, Concern, Judged, Severity
from bot.model.backups import BackupSummary
from bot.model.notices import Notice
from bot.model.runs import Job
from bot.notify import Fallback, beat
from bot.process.place import Place
from tests.commands import Typed
from tests.jobs import install, wait_for
from tests.unit.card_rows import Rows
from tests.unit.desk_world import CAROL, NOON, SLIPS, World, new_world

LAG = Concern("wal-lag", "slips", "local", Severity.PAGE, "local lacks four hours.", "Look.")
SMALL = Concern("backup-size", "slips", "dump", Severity.WARN, "It is small.", "Look.", "one")


@dataclass
class Listener:
    """A loopback HTTP server that keeps what it is sent, and answers with `status`."""

    url: str
    taken: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200


@contextmanager
def listening() -> Iterator[Listener]:
    """Listen while the block lasts."""
    found = Listener("")

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            found.paths.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if body and found.status == 200:
                found.taken.append(json.loads(body))
            self.send_response(found.status)
            self.end_headers()

        def do_GET(self) -> None:
            """Take a heartbeat."""
            self._answer()

        def do_POST(self) -> None:
            """Take a notice."""
            self._answer()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    found.url = f"127.0.0.1:{server.server_port}"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class House:
    """A world with a bot's surroundings, whose fallback, heartbeat and metrics lead to the loopback."""

    world: World
    listener: Listener
    place: Place
    attention: Attention

    def look(self, *concerns: Concern) -> None:
        """Have the monitor see something."""
        judged = Judged(frozenset({(LAG.condition, SLIPS), (SMALL.condition, SLIPS)}))
        desk.observe(self.world.ledger, concerns, judged, self.world.now)

    def tell(self, times: int = 2) -> list[str]:
        """Tell what is due, several times, and return the titles that arrived."""
        before = len(self.listener.taken)
        for _ in range(times):
            self.attention.tell_due(Fallback(self.place.config.notify.urls))
        return [str(taken["title"]) for taken in self.listener.taken[before:]]

    def alert(self, concern: Concern) -> Alert:
        """Return an alert."""
        with self.world.ledger.read() as tx:
            found = alerts.find(tx, *concern.key)
        assert found is not None
        return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Return a house of its own for each test."""
    with new_world() as world, listening() as listener:
        urls = tmp_path / "urls"
        urls.write_text(f"# who is woken\njson://{listener.url}/duty\n", "utf-8")
        config = Config.model_validate(
            {
                "ledger": str(world.ledger.path),
                "slack": {"channels": {"results": "#r", "alerts": "#a", "approvals": "#p"}},
                "repositories": {"local": {"url": f"file://{tmp_path}/repository"}},
                "encryption": {"key": "file:/key"},
                "clusters": {
                    SLIPS: {"dsn": "host=/nowhere", "approval": {"requesters": ["everyone"], "approvers": ["UCAROL"]}}
                },
                "monitor": {"heartbeat_url": f"http://{listener.url}/beat"},
                "notify": {"urls_file": str(urls)},
            },
            context={"folder": tmp_path},
        )
        place = Place(config, tmp_path / "pitstop.toml", world.ledger, now=lambda: world.now)
        yield House(world, listener, place, Attention(place))


def test_pages_are_told_once_and_their_end_too(house: House) -> None:
    """A page goes out once, however often it is looked for; a warning does not; then its end; a return again."""
    house.look(LAG, SMALL)
    shown(house)
    assert house.tell() == ["Pitstop: [page] WAL is not durable (slips)"]
    assert "local lacks four hours." in house.listener.taken[0]["message"]
    house.look(SMALL)
    assert house.tell() == ["Pitstop: [resolved] over: WAL is not durable (slips)"]
    house.look(LAG, SMALL)
    shown(house)
    assert house.tell() == ["Pitstop: [page] WAL is not durable (slips)"]


def test_what_somebody_has_is_not_told(house: House) -> None:
    """Acknowledged before it was told it stays quiet; worse than what was acknowledged it goes out."""
    warn = Concern(LAG.condition, LAG.cluster, LAG.subject, Severity.WARN, "One hour.", "")
    house.look(warn)
    acknowledged(house, warn)
    shown(house)
    assert house.tell() == []
    house.look(LAG)
    shown(house)
    assert house.tell() == ["Pitstop: [page] WAL is not durable (slips)"]


def test_with_slack_away_everything_is_told(house: House) -> None:
    """Slack noted as away, or simply not showing an alert for two minutes: warnings go out too, and once."""
    house.look(SMALL)
    assert house.tell() == []
    house.world.later(minutes=3)
    assert house.tell() == ["Pitstop: [warn] A backup has a strange size (slips)"]
    shown(house)
    lag = Concern(LAG.condition, LAG.cluster, LAG.subject, Severity.WARN, "One hour.", "")
    house.look(SMALL, lag)
    shown(house)
    assert house.tell() == []
    with house.world.ledger.transaction() as tx:
        people.set_slack_away(tx, True)
    assert house.tell() == ["Pitstop: [warn] WAL is not durable (slips)"]


def test_a_decision_nobody_makes_wakes_by_the_fallback(house: House) -> None:
    """After the direct messages had their time the approvers are called by the fallback, once; a decision in time calls nobody."""
    first, second = house.world.pending(), house.world.pending()
    wake_after = timedelta(minutes=2)
    house.world.later(minutes=2)
    desk.wake_due(house.world.ledger, house.world.now, wake_after)
    assert house.tell() == []
    house.world.approve(second.id)
    house.world.later(minutes=2)
    assert house.tell() == ["Pitstop: A restore of slips waits for a decision"]
    assert first.id in house.listener.taken[0]["message"]
    house.world.later(minutes=5)
    assert house.tell() == []


def test_a_fallback_that_fails_is_an_alert_and_tries_again(house: House) -> None:
    """Refused by its address nothing counts as told; the alert about it is over with the first message that is taken."""
    house.look(LAG)
    shown(house)
    house.listener.status = 500
    assert house.tell(1) == []
    failed = Concern("fallback", "", "", Severity.WARN, "")
    assert house.alert(failed).state is AlertState.OPEN
    assert house.listener.url not in house.alert(failed).concern.sentence
    house.listener.status = 200
    assert "Pitstop: [page] WAL is not durable (slips)" in house.tell()
    assert house.alert(failed).state is AlertState.RESOLVED


def test_an_address_nobody_knows_is_named_by_its_place() -> None:
    """What cannot be an address is refused by number: it may hold a password."""
    with pytest.raises(Usage) as caught:
        Fallback(["json://127.0.0.1:9", "nonsense secret-word"])
    assert "The 2. address" in caught.value.message
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("content", ["nonsense", None])
def test_a_fallback_that_cannot_be_opened_stops_nothing(house: House, content: str | None) -> None:
    """A bad or missing list of addresses is an alert, not the end of the bot: backups go on."""
    urls, stop = house.place.config.notify.urls_file, threading.Event()
    assert urls is not None
    urls.unlink()
    if content is not None:
        urls.write_text(content, "utf-8")
    thread = threading.Thread(target=house.attention.tell, args=(stop,))
    thread.start()
    wait_for(lambda: _alerted(house), what="the alert")
    assert thread.is_alive()
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def _alerted(house: House) -> bool:
    with house.world.ledger.read() as tx:
        return alerts.find(tx, "fallback", "", "") is not None


def test_nobody_there_is_said_in_time() -> None:
    """A port where nobody listens is an error without the address in it."""
    port = _closed_port()
    with pytest.raises(Unavailable, match="did not take") as caught:
        Fallback([f"json://127.0.0.1:{port}/secret"]).send(Notice("k", Severity.PAGE, "t", "b"))
    assert "secret" not in str(caught.value)
    with pytest.raises(Unavailable) as refused:
        beat(f"http://127.0.0.1:{port}/secret")
    assert "secret" not in str(refused.value)


def test_the_heart_beats_only_while_all_is_well(house: House) -> None:
    """Looking, with Slack there, the address is fetched; with Slack away, or nobody looking, it is not; an error is no end."""
    assert house.attention.unwell()
    house.attention.monitor.look()
    house.attention.looked()
    assert house.attention.unwell() == ""
    beat(str(house.place.config.monitor.heartbeat_url))
    assert house.listener.paths == ["/beat"]
    with house.world.ledger.transaction() as tx:
        people.set_slack_away(tx, True)
    assert house.attention.unwell() == "Slack is away"
    house.listener.status = 404
    with pytest.raises(Unavailable, match="HTTP 404"):
        beat(str(house.place.config.monitor.heartbeat_url))


def test_alerts_on_the_command_line(typed: Typed, tmp_path: Path) -> None:
    """Listed, acknowledged, snoozed and settled on the host; who did it stands in the list and in the audit."""
    here = install(tmp_path / "pitstop", "host=/nowhere")
    assert typed("alert", "list", config=here.config_path).out == "Nothing needs anybody.\n"
    failed = Concern("run-failed", "slips", "dump", Severity.WARN, "It failed.", "Look.", "run-1")
    (alert,) = desk.observe(here.ledger, [failed], Judged(), NOON)
    for words, state in (
        (("ack", alert.id), "acknowledged"),
        (("snooze", alert.id, "--for", "2h"), "snoozed"),
        (("resolve", alert.id), "resolved"),
    ):
        assert "It failed." in typed("status", config=here.config_path).out
        said = typed("alert", *words, "--json", config=here.config_path)
        assert (said.code, json.loads(said.out)["state"]) == (0, state)
    assert typed("alert", "list", config=here.config_path).out == "Nothing needs anybody.\n"
    assert alert.id in typed("alert", "list", "--all", config=here.config_path).out
    assert typed("alert", "ack", alert.id, config=here.config_path).code == 1
    with here.ledger.read() as tx:
        told = [entry.action for entry in audit.entries(tx) if entry.actor.startswith("host/")]
    assert told == ["alert.acknowledge", "alert.snooze", "alert.resolve", "alert.acknowledge.refused"]


def test_check_says_what_is_on(house: House) -> None:
    """Whom pages mention, the fallback, the heartbeat and the metrics: what is off comes with the line that turns it on."""
    off = {point.code: point for point in attention_points(house.place.config)}
    assert (off["oncall"].level, off["fallback"].level, off["heartbeat"].level) == ("warn", "ok", "ok")
    assert "oncall" in off["oncall"].fix
    assert house.listener.url not in " ".join(point.sentence for point in off.values())
    bad = house.place.config.notify.urls_file
    assert bad is not None
    bad.write_text("nonsense", "utf-8")
    assert {point.code: point.level for point in attention_points(house.place.config)}["bad-notify-url"] == "fail"


def test_the_threads_end_when_asked(house: House) -> None:
    """Each of the leader's threads returns soon after its stop is set, whatever is configured."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,)) for work in _works(house)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def _works(house: House) -> list[Any]:
    return [house.attention.watch, house.attention.tell, house.attention.beat]


def test_prometheus_reads_what_the_ledger_holds(house: House) -> None:
    """Backups, WAL, runs, drills and alerts are served under names and units of its conventions; without a ledger it says so."""
    rows = Rows(4)
    with house.world.ledger.transaction() as tx:
        backup = rows.backup()
        catalogue.add(tx, SLIPS, "local", _sound(backup))
    drilled(house, ok=True)
    house.attention.monitor.look()
    house.look(LAG)
    with serving(house) as url:
        found = scrape(url)
        assert found["pitstop_ledger_up"] == {(): 1.0}
        assert found["pitstop_backups"] == {(("cluster", "slips"), ("kind", "base")): 1.0}
        assert found["pitstop_alerts"][("severity", "page"), ("state", "open")] == 1.0
        assert found["pitstop_runs_total"][("cluster", "slips"), ("job", "drill"), ("state", "succeeded")] == 1.0
        assert found["pitstop_drill_last_duration_seconds"] == {(("cluster", "slips"),): 42.0}
        assert found["pitstop_server_up"] == {(("cluster", "slips"),): 0.0}
        assert all(value > 0 for value in found["pitstop_disk_size_bytes"].values())
        for name in found:
            assert name.startswith("pitstop_")
            assert name.endswith(("_seconds", "_bytes", "_total", "_up", "_info", "_unfinished", "_backups", "_alerts"))
        house.world.ledger.path.rename(house.world.ledger.path.with_suffix(".away"))
        assert scrape(url)["pitstop_ledger_up"] == {(): 0.0}
        house.world.ledger.path.with_suffix(".away").rename(house.world.ledger.path)


@contextmanager
def serving(house: House) -> Iterator[str]:
    """Serve metrics while the block lasts."""
    port, stop = _closed_port(), threading.Event()
    metrics = house.place.config.metrics.model_copy(update={"listen": f"127.0.0.1:{port}"})
    config = house.place.config.model_copy(update={"metrics": metrics})
    place = Place(config, house.place.config_path, house.world.ledger, now=lambda: house.world.now)
    thread = threading.Thread(target=serve_metrics, args=(place, lambda: house.attention.monitor.sight, stop))
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        stop.set()
        thread.join(20)


def scrape(url: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Fetch metrics and return samples by name and labels."""
    deadline = time.monotonic() + 30
    while True:
        try:
            text = urllib.request.urlopen(url, timeout=10).read().decode()
            break
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def _sound(backup: BackupSummary) -> BackupSummary:
    return replace(backup, kind="base", damaged=None, finished_at=NOON, started_at=NOON - timedelta(minutes=5))


def drilled(house: House, *, ok: bool) -> None:
    """Let a drill end."""
    run = desk.queue_run(
        house.world.ledger, job=Job.DRILL, cluster=SLIPS, args={}, by="pitstop", at=NOON, entropy=house.world.entropy()
    )
    desk.start_run(house.world.ledger, run.id, NOON)
    desk.finish_run(house.world.ledger, run.id, {"ok": ok, "proofs": [{"seconds": 42.0}]}, NOON)


def shown(house: House) -> None:
    """Let Slack show every card."""
    with house.world.ledger.transaction() as tx:
        tx.execute("UPDATE cards SET channel = 'C', ts = '1.' || id, posted = wanted")


def acknowledged(house: House, concern: Concern) -> None:
    """Let Carol take an alert."""
    desk.acknowledge_alert(house.world.ledger, house.world.caller(CAROL), house.alert(concern).id)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
