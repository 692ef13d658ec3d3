"""`pitstop expire`, `scrub`, `pin` on the command line: documents, sentences and exit codes, without any server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commands import pitstop
from tests.unit.repository.sample import NAME, SEGMENT_BYTES
from tests.unit.retention_world import World

NOW = datetime.now(UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nine base backups of the last forty days, the last of yesterday, with their WAL."""
    made = World(tmp_path, '[clusters.slips.scrub]\nbudget = "100%"\n')
    for number in range(9):
        at = NOW - timedelta(days=1 + (8 - number) * 4.8)
        made.back_up_at(at, number)
        made.cluster.wal.put_segment(1, number, bytes(SEGMENT_BYTES))
    return made


def test_expire(world: World) -> None:
    """The dry run says what goes and removes nothing; the run removes just that; pinned ones stay; too much is refused with 3."""
    ids = world.ids()
    pinned = pitstop("pin", ids[0], "--json", config=world.path)
    assert pinned.code == 0, pinned.err
    assert pinned.json["repositories"] == ["local"]
    said = pitstop("expire", NAME, "--dry-run", "--json", config=world.path)
    assert said.code == 0, said.err
    assert [b["id"] for b in said.json["removed"]] == [ids[1]]
    assert world.ids() == ids
    done = pitstop("expire", NAME, "--json", config=world.path)
    assert done.code == 0, done.err
    assert [b["id"] for b in done.json["removed"]] == [ids[1]]
    assert world.ids() == [ids[0], *ids[2:]]
    shown = pitstop("expire", NAME, "--dry-run", config=world.path)
    assert f"{ids[0]}  it is pinned" in shown.out
    assert "+00:00" not in shown.out, "times are told as everywhere"
    assert "0 backups would go" in shown.out
    text = world.path.read_text("utf-8") + "[clusters.slips.retention]\nbase = '1h'\nwal = '0s'\nminimum_base = 1\n"
    world.path.write_text(text, "utf-8")
    refused = pitstop("expire", NAME, "--json", config=world.path)
    assert refused.code == 3, refused.err
    assert refused.json["error"]["code"] == "too-many"
    assert len(world.ids()) == 8
    assert pitstop("expire", NAME, "--force", config=world.path).code == 0
    assert world.ids() == [ids[0], ids[-1]]


def test_scrub(world: World) -> None:
    """Exit code 0 and the age of coverage while all is well, 4 and the object's name once a bit is flipped."""
    well = pitstop("scrub", NAME, "--all", "--json", config=world.path)
    assert well.code == 0, well.err
    assert well.json["objects"] == well.json["stored_objects"]
    assert well.json["coverage_age_s"] < 60
    volume = next((world.home / "repository").glob(f"{NAME}/*/volumes/*/base/000000"))
    data = bytearray(volume.read_bytes())
    data[-1] ^= 1
    volume.write_bytes(data)
    damaged = pitstop("scrub", NAME, "--all", "--json", config=world.path)
    assert damaged.code == 4, damaged.err
    [found] = damaged.json["damaged"]
    assert found["path"] == str(volume.relative_to(world.home / "repository"))
    assert found["backup"] in found["path"]
    said = pitstop("scrub", NAME, config=world.path)
    assert said.code == 4
    assert "DAMAGED in local" in said.out
    assert "damaged" in pitstop("show", found["backup"], config=world.path).out
