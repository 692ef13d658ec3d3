"""A job's process imports what its work needs, and nothing that only happens to be installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bot.host.imports import without


def test_hidden_modules_are_absent_within_and_back_afterwards() -> None:
    """A library imported in the block finds none of the hidden modules; later imports find them as ever."""
    sys.modules.pop("antigravity", None)
    with without("antigravity"), pytest.raises(ModuleNotFoundError):
        import antigravity  # noqa: F401
    assert "antigravity" not in sys.modules


def test_what_is_imported_already_stays() -> None:
    """A process that uses a module keeps it: nothing is taken away from those who have it."""
    import json

    with without("json"):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json


def test_a_job_imports_no_luggage() -> None:
    """The base backup's process has neither numpy nor rich nor a cloud's SDK in memory, which cost start-up and megabytes."""
    luggage = {
        "numpy",
        "pandas",
        "rich",
        "boto3",
        "botocore",
        "azure",
        "matplotlib",
        "apprise",
        "apscheduler",
        "slack_bolt",
    }
    program = "import sys, bot.log, bot.job, jobs.base_backup; print(*{name.partition('.')[0] for name in sys.modules})"
    said = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert luggage.isdisjoint(said.stdout.split())
