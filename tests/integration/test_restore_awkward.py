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
from tests.awkward import NAME, contents_of, database_of, make_awkward, schema_of
from tests.jobs import install
from tests.recoveries import RIGHTS, agreed, asked, execute
from tests.servers import PlainServerFactory

pytestmark = pytest.mark.pg
AGAIN = "wieder da"


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
