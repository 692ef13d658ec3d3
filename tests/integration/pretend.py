"""A program like `python -m bot` whose jobs only pretend, so that supervision is tested with real processes and nothing else.

`pretend.py job RUN --config PATH`: the run's `args["do"]` says what its job does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bot.errors import Failed
from bot.job import main
from bot.model.runs import Job
from jobs.context import JobContext

PRETEND = dict.fromkeys(Job, "pretend:obey")
COMMAND = (sys.executable, str(Path(__file__).resolve()))


def obey(context: JobContext) -> dict[str, Any]:
    """Do what the run's arguments say; by default succeed at once, and as a receiver run until asked to stop."""
    forever = context.run.job is Job.WAL_STREAM
    what = context.run.args.get("do", "sleep" if forever else "succeed")
    context.phase(what)
    if what == "fail":
        raise Failed("It was told to fail.", hint="Tell it otherwise.", code="told-to")
    if what == "crash":
        raise ZeroDivisionError
    if what == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    while what == "sleep":
        context.check_cancelled() if not forever else None
        if context.wait_cancelled(0.05) and forever:
            return {}
    return {"pid": os.getpid(), "environment": sorted(os.environ)}


if __name__ == "__main__":
    if os.environ.get("PRETEND_NOT_TO_START"):
        sys.exit(1)
    sys.exit(main(sys.argv[2], Path(sys.argv[4]), PRETEND))
