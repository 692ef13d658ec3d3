"""A database with every awkward thing in it comes back the same: out of a dump, and out of a base backup.

What may differ is written down in docs/restore.md and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.model.destinations import NewDatabase
from bot.model.requests import State
from bot.model.restores import Wanted
from bot.model.runs import Job
from bot.postgres.isolated import IsolatedServer, remove_directory
from tests.awkward import NAME, contents_of, database_of, make_awkward, schema_of
from tests.jobs import install
from tests.recoveries import RIGHTS, agreed, approved, asked, execute
from tests.servers import PlainServerFactory

pytestmark = pytest.mark.pg
AGAIN = "wieder da"
UNLOGGED = ("public.scratch_pad",)
"""What docs/restore.md says comes back empty out of a base backup."""
AHEAD = {'public."Users_Id_seq"': 1, "public.countdown": -1}
"""Sequences that handed out numbers, with their step: the WAL has them up to 32 steps further."""


@pytest.mark.parametrize("major", [15, 16, 18])
def test_through_a_dump(plain_server: PlainServerFactory, tmp_path: Path, major: int) -> None:
    """Schema, rows, sequences, large objects, and what belongs to the database itself are the same in the new database."""
    server = plain_server(major)
    make_awkward(server)
    here = install(tmp_path / "pitstop", server, RIGHTS)
    here.run(Job.DUMP)
    wanted = Wanted(database=NAME)
    planned = asked(here, "restore", wanted, wanted.text(), {"kind": "database", "database": AGAIN})
    assert planned.state is State.PROPOSED, planned.outcome
    assert planned.plan is not None
    assert planned.plan.steps.destination == NewDatabase(AGAIN)
    done = execute(here, agreed(here, planned).id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert schema_of(server, AGAIN) == schema_of(server, NAME)
    assert contents_of(server, AGAIN) == contents_of(server, NAME)
    assert database_of(server, AGAIN) == database_of(server, NAME)


@pytest.mark.parametrize("major", [15, 16, 18])
def test_through_a_base_backup(plain_server: PlainServerFactory, tmp_path: Path, server_home: Path, major: int) -> None:
    """The same of a point-in-time recovery to the latest, save for unlogged rows and how far sequences were logged ahead."""
    server = plain_server(major)
    here = install(tmp_path / "pitstop", server, RIGHTS, f'[restore]\ndirectory = "{server_home}/restores"')
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        make_awkward(server)
        done = execute(here, approved(here, "latest").id)
    assert done.state is State.SUCCEEDED, done.outcome
    directory = Path((done.outcome or {})["directory"])
    try:
        copy = IsolatedServer.attach({"directory": str(directory)})
        assert schema_of(copy, NAME) == schema_of(server, NAME)
        live, there = contents_of(server, NAME), contents_of(copy, NAME)
        for table in UNLOGGED:
            assert there.pop(table) == (0, None)
            assert live.pop(table) != (0, None)
        for sequence, step in AHEAD.items():
            ahead, value = there.pop(sequence), live.pop(sequence)
            assert isinstance(ahead, tuple)
            assert isinstance(value, tuple)
            assert 0 <= (ahead[0] - value[0]) * step <= 32
        assert there == live
        assert database_of(copy, NAME) == database_of(server, NAME)
    finally:
        remove_directory(directory)
