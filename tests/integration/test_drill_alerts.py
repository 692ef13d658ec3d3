"""The alerts of drills, by drills that ran: too long ago, not passed, too often not passed, too slow; each ends by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.model.alerts import AlertState, Severity
from bot.model.runs import Job
from tests.integration.drills import drilled, shop
from tests.integration.test_monitor import PAGE, WARN, Watch, alert_of, over, scheduled
from tests.jobs import Installation
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


def test_drills_raise_and_end_their_alerts(server_home: Path, plain_server: PlainServerFactory) -> None:
    """A table is emptied, dumped and drilled: it pages, drills fail too often; rows back, dumped and drilled, it is over."""
    server = plain_server(18)
    here = shop(server_home / "p", server, {"alerts": "{ drill_success = 0.5 }"})
    watch = Watch(here)
    scheduled(here, Job.DRILL, ago=timedelta(days=10))
    assert watch.sees("drill-age") == WARN
    here.run(Job.DUMP)
    assert drilled(here)["ok"]
    assert over(watch.sees("drill-age"))
    assert watch.sees("run-failed", "drill") is None
    assert watch.sees("rto") is None

    execute(server, 'CREATE TABLE aside AS TABLE "Orders"')
    execute(server, 'TRUNCATE "Orders"')
    here.run(Job.DUMP)
    for _ in range(2):
        assert not drilled(here)["ok"]
    assert watch.sees("run-failed", "drill") == PAGE
    failed = alert_of(here.ledger, "run-failed", "drill")
    assert failed is not None
    assert "Orders has 0 rows" in failed.concern.sentence
    assert watch.sees("drill-rate") == WARN

    execute(server, 'INSERT INTO "Orders" TABLE aside')
    here.run(Job.DUMP)
    for _ in range(2):
        assert drilled(here)["ok"]
    assert over(watch.sees("run-failed", "drill"))
    assert over(watch.sees("drill-rate"))


@pytest.mark.parametrize(("target", "maximum", "severity"), [(0, 3600, Severity.WARN), (0, 0, Severity.PAGE)])
def test_a_restore_that_took_too_long(
    server_home: Path, plain_server: PlainServerFactory, target: int, maximum: int, severity: Severity
) -> None:
    """The time of a drill that ran, against an objective it cannot meet and one that it does."""
    here = shop(server_home / "p", plain_server(18))
    here.run(Job.DUMP)
    drilled(here)
    hurried = Watch(_objective(here, target + 0.001, maximum + 0.002))
    assert hurried.sees("rto") == (AlertState.OPEN, severity)
    assert over(Watch(here).sees("rto"))


def _objective(here: Installation, target_s: float, maximum_s: float) -> Installation:
    [(name, cluster)] = here.config.clusters.items()
    bounds = {"target": timedelta(seconds=target_s), "maximum": timedelta(seconds=maximum_s)}
    objectives = cluster.objectives.model_copy(update={"rto": cluster.objectives.rto.model_copy(update=bounds)})
    changed = cluster.model_copy(update={"objectives": objectives})
    return replace(here, config=here.config.model_copy(update={"clusters": {name: changed}}))
