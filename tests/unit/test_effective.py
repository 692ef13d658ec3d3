"""The effective configuration that `check --configuration` prints."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from bot.commands.effective import duration, effective, floor_lines, in_force, toml_lines
from bot.config import Config, load, parse_duration

TEXT = """
[slack]
channels = { results = "#a", alerts = "#b", approvals = "#c" }
[repositories.local]
url = "file:///var/backups/pitstop"
[encryption]
key = "file:/etc/pitstop/key"
[clusters.slips]
dsn = "host=db password='hidden word' sslmode=verify-full"
[[clusters.slips.checks]]
name = "a \\"quoted\\" näme"
database = "d"
sql = "select 1"
[clusters.other]
dsn = "postgresql://u:hidden@h/d"
approval = { approvers = ["U024BE7LH"], expires = "1h30m" }
[people]
"odd login" = "U024BE7LH"
"""


def test_what_is_printed_is_a_configuration(tmp_path: Path) -> None:
    """The lines are TOML, read back as the same configuration, defaults and all; only passwords are missing."""
    path = tmp_path / "pitstop.toml"
    path.write_text(TEXT)
    config, _ = load(path)
    assert config.cluster("slips").policy.approvers == ()  # derived, and no setting
    text = "\n".join(toml_lines(effective(config)))
    assert "hidden" not in text
    again = Config.model_validate(tomllib.loads(text))
    secrets = {"dsn": None, "stream_dsn": "x", "observe_dsn": "x"}
    bare = [
        {name: cluster.model_copy(update=secrets) for name, cluster in one.clusters.items()} for one in (config, again)
    ]
    assert bare[0] == bare[1]
    assert config.model_dump(exclude={"clusters"}) == again.model_dump(exclude={"clusters"})


@pytest.mark.parametrize("text", ["30s", "10m", "1h30m", "7d", "1d1s", "250ms", "0s"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    """A duration comes back in the same words."""
    read = parse_duration(text)
    assert isinstance(read, timedelta)
    assert duration(read) == text


def test_what_is_in_force_stands_for_what_was_left_open(tmp_path: Path) -> None:
    """Which repositories a cluster has, how many workers there are and how small a backup may be is said where nobody set it."""
    path = tmp_path / "pitstop.toml"
    offsite = '[repositories.offsite]\nurl = "file:///mnt/pitstop"\n[clusters.slips]\n'
    path.write_text(TEXT.replace("[clusters.slips]\n", offsite) + "[clusters.other.alerts]\nmin_backup_bytes = 5\n")
    config, _ = load(path)
    found = in_force(config, cores=3)
    for cluster in found["clusters"].values():
        assert (cluster["repositories"], cluster["workers"]) == (["local", "offsite"], 3)
    assert found["restore"]["workers"] == 3
    [line] = floor_lines(config)
    assert line.startswith("# clusters.slips.alerts.min_backup_bytes is not set: ")
    assert line.endswith("at least 16.8 MB of a base backup, 1.0 kB of a dump, before compression")
