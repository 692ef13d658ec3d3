"""A drill that is killed at any moment: its scratch server and the copy of production's data go, by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.host import processes
from bot.ledger import runs
from bot.model.runs import Job, Run, RunState
from bot.postgres.isolated_folder import MARKER
from bot.process.drills import clear_after_drills
from bot.process.place import Place
from bot.process.spawning import Spawner
from bot.process.watching import Watch
from jobs.drill.scratch import scratch_directory
from tests.integration.drills import drilled, left_behind, shop
from tests.jobs import CLUSTER, Installation, wait_for
from tests.recoveries import run_of
from tests.servers import PlainServerFactory

pytestmark = pytest.mark.pg

SLOW = '[{ name = "takes its time", database = "postgres", sql = "SELECT pg_sleep(2)" }]'


@dataclass
class Scene:
    """An installation with a base backup and a dump, and the supervisor's steps."""

    here: Installation

    @property
    def place(self) -> Place:
        """Where its runs live."""
        return Place(self.here.config, self.here.config_path, self.here.ledger)

    def folder(self, kind: str) -> Path:
        """Return the scratch folder of a kind."""
        return scratch_directory(self.here.config, CLUSTER, kind)

    def clear(self) -> Run:
        """Do what the supervisor does until it has cleared away; return that run."""
        place, spawner, watch = self.place, Spawner(self.place), Watch(self.place)
        ended = list[Run]()

        def cleared() -> bool:
            watch.look()
            clear_after_drills(place)
            spawner.start()
            with self.here.ledger.read() as tx:
                ended[:] = runs.recent(tx, jobs=(Job.DRILL_CLEAN,), limit=1)
            return bool(ended) and ended[0].state.ended

        wait_for(cleared, 60, "the clearing")
        return ended[0]


@pytest.fixture
def scene(server_home: Path, plain_server: PlainServerFactory) -> Scene:
    """A shop with both kinds of backup."""
    here = shop(server_home / "p", plain_server(18), {"checks": SLOW})
    here.run(Job.BASE_BACKUP)
    here.run(Job.DUMP)
    return Scene(here)


@pytest.mark.timeout(600)
def test_killed_wherever_it_is(scene: Scene) -> None:
    """Killed with files, in the checks, and with a server that a dump is being restored into: nothing runs or stays after."""
    base, dump = scene.folder("base"), scene.folder("dump")
    moments: list[Callable[[], bool]] = [
        (base / "data" / "PG_VERSION").exists,
        lambda: phase(scene) == "base: checks",
        (dump / "data" / "postmaster.pid").exists,
    ]
    for moment in moments:
        run, process = scene.here.spawn(Job.DRILL)
        wait_for(moment, 150, "the moment")
        process.kill()
        process.wait()
        cleared = scene.clear()
        assert (cleared.state, cleared.args["after"]) == (RunState.SUCCEEDED, run)
        assert left_behind(scene.here) == []
        assert not processes.working_in(base / "data")
        assert not processes.working_in(dump / "data")
    assert drilled(scene.here)["ok"]


def test_the_next_drill_clears_away_what_was_left(scene: Scene) -> None:
    """Without a bot nobody clears away: the next drill does, first, and passes; markers that were half written too."""
    folder = scene.folder("base")
    run, process = scene.here.spawn(Job.DRILL)
    wait_for((folder / "data" / "postmaster.pid").exists, 60, "the server")
    scene.here.kill(run, process)
    assert left_behind(scene.here) == [folder.name]
    unmarked = scene.folder("dump")
    unmarked.mkdir()
    for place in (folder, unmarked):
        (place / f".{MARKER}.x7k2").write_text('{"format"')
    assert drilled(scene.here)["ok"]
    assert left_behind(scene.here) == []


def test_a_folder_of_somebody_else_is_left_alone(scene: Scene) -> None:
    """What Pitstop did not mark stays, and the drill says why it could not begin there; too little disk is said as well."""
    folder = scene.folder("base")
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("mine")
    result = drilled(scene.here)
    said = [point["detail"] for point in result["proofs"][0]["points"] if point["name"] == "carried out"]
    assert "not empty" in said[0]
    assert (folder / "thesis.txt").read_text() == "mine"
    assert result["proofs"][1]["verified"]


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_killed_at_every_moment(scene: Scene) -> None:
    """Killed half a second after it began, after 0.7 s and so on until one comes through: nothing of any of them stays."""
    delay = 0.5
    while True:
        run, process = scene.here.spawn(Job.DRILL)
        wait_for(lambda r=run: run_of(scene.here, r).state is not RunState.QUEUED, 30, "its start")  # type: ignore[misc]
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        cleared = scene.clear()
        assert (cleared.state, cleared.args["after"]) == (RunState.SUCCEEDED, run), cleared.error
        assert left_behind(scene.here) == [], list(scene.folder("base").iterdir())
        delay += 0.2


def phase(scene: Scene) -> str:
    """Return the phase of the newest drill."""
    with scene.here.ledger.read() as tx:
        return runs.recent(tx, jobs=(Job.DRILL,), limit=1)[0].phase
