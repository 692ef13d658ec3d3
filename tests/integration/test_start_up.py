"""What a process imports when it starts: what its work needs, and nothing that only happens to be installed."""

from __future__ import annotations

import subprocess
import sys


def test_no_cloud_is_imported_before_it_is_needed() -> None:
    """The command line, the jobs and a repository in a directory start without boto3 and Azure's SDK, which take a second."""
    script = (
        "import sys; import bot.cli, bot.repository.open, bot.repository.repository, bot.commands.storage, bot.job\n"
        "print([name for name in ('boto3', 'botocore', 'azure') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
