"""`pitstop verify`: one document, the checklist for people, and exit codes for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.model.runs import Job
from tests.commands import pitstop
from tests.integration.drills import flip, shop
from tests.servers import PlainServerFactory

pytestmark = pytest.mark.pg


def test_verify_on_the_command_line(server_home: Path, plain_server: PlainServerFactory) -> None:
    """No backup, an unknown id, a sound one, the same in words, what lists say of it then, and one whose bit was flipped."""
    here = shop(server_home / "p", plain_server(16))
    pitstop("keys", "init", config=here.config_path)
    none = pitstop("verify", "slips", config=here.config_path)
    assert (none.code, "pitstop backup base slips" in none.err) == (2, True)
    backup = here.run(Job.BASE_BACKUP)["id"]
    typo = pitstop("verify", "slips", backup[:-1] + "z", config=here.config_path)
    assert (typo.code, backup in typo.err) == (2, True)
    sound = pitstop("verify", "slips", "--json", config=here.config_path)
    assert sound.code == 0, sound.err
    [proof] = sound.json["proofs"]
    assert (sound.json["ok"], proof["backup"], proof["verified"]) == (True, backup, True)
    amcheck = next(point for point in proof["points"] if point["name"] == "indexes present and sound")
    assert amcheck["ok"] is None, "this build has no amcheck"
    assert "amcheck is not here" in amcheck["detail"]
    listed = pitstop("list", "slips", "--json", config=here.config_path).json
    assert listed["backups"][0]["verified_at"]
    status = pitstop("status", "--json", config=here.config_path).json
    assert status["clusters"]["slips"]["newest_verified"]["base"]["id"] == backup
    said = pitstop("verify", "slips", backup, config=here.config_path)
    assert said.code == 0
    assert f"{backup}, the newest, from local: verified" in said.out
    assert "foreign keys intact: 1 key looked up row by row, none broken" in said.out
    [volume, *_] = sorted((here.home / "repository").rglob(f"{backup}/base/00*"))
    flip(volume)
    damaged = pitstop("verify", "slips", "--json", config=here.config_path)
    assert (damaged.code, damaged.json["damaged"]) == (4, True)
