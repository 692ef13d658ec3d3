"""Drills of base backups and WAL: what passes, and that every kind of planted damage is caught and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.model.runs import Job
from tests.integration.drills import drilled, left_behind, noes, points, shop
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


def test_a_sound_backup_passes_and_is_verified(server_home: Path, plain_server: PlainServerFactory) -> None:
    """The newest base backup and its WAL pass every point, canaries included; the backup is verified and nothing stays."""
    server = plain_server(18)
    here = shop(
        server_home / "p",
        server,
        {"drill": "{ canary = true, latest = { postgres = 'SELECT max(placed) FROM \"Orders\"' } }"},
    )
    with here.receiving():
        backup = here.run(Job.BASE_BACKUP)["id"]
        execute(server, 'INSERT INTO "Orders" VALUES (9001, 7)')
        result = drilled(here)
    [proof] = result["proofs"]
    assert not noes(proof)
    assert (result["ok"], result["damaged"], proof["backup"], proof["newest"]) == (True, False, backup, True)
    answers = points(proof)
    for question in ("not corrupted", "canaries", "latest records included", "foreign keys intact", "page checksums"):
        assert answers[question][0] is True, answers[question]
    assert answers["indexes present and sound"][0] is True
    assert ["postgres", "public", "Orders", 1501] in proof["tables"]
    [summary] = here.repository().backups()
    assert summary.verified_at is not None
    assert left_behind(here) == []
