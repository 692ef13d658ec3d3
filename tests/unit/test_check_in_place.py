"""What `pitstop check` says before a restore in place is needed: programs that cannot run, pages nobody can ask, logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bot.commands.check import Point
from bot.commands.check_in_place import in_place_points
from bot.config.clusters import ClusterConfig
from bot.config.in_place import HealthConfig


def found(folder: Path, *after: list[str], log: str | None = None) -> dict[str, Point]:
    """Return what is said of a cluster with a program before and commands `after`, by code."""
    cluster = ClusterConfig.model_validate(
        {
            "dsn": "host=/nowhere",
            "hooks": {"before": [[f"{folder}/stop", "shop"]], "after": after},
            "health": {"url": "http://127.0.0.1:5000/health"},
            "app_log": log,
        }
    )
    return {point.code: point for point in in_place_points("slips", cluster)}


def test_programs_that_cannot_run_are_named(tmp_path: Path) -> None:
    """A program that is missing, is a folder or may not be executed fails the check; one that may does not."""
    program = tmp_path / "stop"
    missing = found(tmp_path)["hook"]
    assert (missing.level, "is not there" in missing.sentence, "[clusters.slips.hooks] before" in missing.fix) == (
        "fail",
        True,
        True,
    )
    program.mkdir()
    assert "is no file" in found(tmp_path)["hook"].sentence
    program.rmdir()
    program.write_text("#!/bin/sh\n")
    assert "may not be executed" in found(tmp_path)["hook"].sentence
    program.chmod(0o755)
    said = found(tmp_path, [str(program), "start"])
    assert "hook" not in said
    assert said["hooks"].level == "ok"
    assert said["health"].level == "ok"
    assert "hooks-one-sided" not in said


def test_an_application_that_is_stopped_and_never_started_is_told(tmp_path: Path) -> None:
    """Commands on one side only, and a log that cannot be read, are warnings with what to write."""
    (tmp_path / "stop").write_text("#!/bin/sh\n")
    (tmp_path / "stop").chmod(0o755)
    said = found(tmp_path, log=f"{tmp_path}/api.log")
    assert (said["hooks-one-sided"].level, "hooks] after" in said["hooks-one-sided"].fix) == ("warn", True)
    assert (said["log-unreadable"].level, "app_log" in said["log-unreadable"].sentence) == ("warn", True)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:5000/health", "http://", "http://host:eighty/", "http://[::1/", "http://host:0/", "http://a b/"]
)
def test_a_page_nobody_can_ask_is_no_configuration(url: str) -> None:
    """What is no URL of a page is refused when the file is read, with one to write."""
    with pytest.raises(ValidationError, match="write a page like http://"):
        HealthConfig(url=url)
