"""The demo's first screen: from `pitstop demo` typed to a page that says what to try, with the bot connected."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.request

from bot.sandbox.driver import Driver
from tests.benchmarks.ground import Ground, Options, start_alike
from tests.benchmarks.summary import Report, Requirement, spread

ABOUT = "the demo's first screen: from `pitstop demo` typed to a page that says what to try"
NEEDS = ("PostgreSQL 18 (embedded)",)
_AT_MOST_S = 20
_ADDRESS = re.compile(r"http://\S+")


def run(ground: Ground, options: Options) -> Report:
    """Start the demo again and again, each time in a new folder, and end it as Ctrl-C does."""
    found = []
    for number in range(options.repeats(5)):
        folder = ground.root / f"demo-{number}"
        found.append(_reached(str(folder)))
        start_alike(folder)
    seconds = spread(found)
    return Report(
        name="first-screen",
        conditions="s until the page is served, names its steps and shows the bot connected; each time a new PostgreSQL, "
        "shop, repository and bot",
        headers=("runs", "seconds", "slowest"),
        rows=[(str(seconds.count), seconds.text(1), f"{max(found):.1f}")],
        data={"seconds": [round(one, 2) for one in found]},
        requirements=(Requirement("the slowest of them", max(found), _AT_MOST_S, "s"),),
    )


def _reached(folder: str) -> float:
    """Start the demo in a folder, and return the seconds until its first screen is there."""
    began = time.monotonic()
    argv = [sys.executable, "-u", "-m", "bot", "demo", "--dir", folder]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/") as demo:
        try:
            assert demo.stdout is not None
            address = next((at[0] for line in demo.stdout if (at := _ADDRESS.search(line))), None)
            if address is None:
                raise RuntimeError("the demo ended before it said where its page is")
            with urllib.request.urlopen(address) as page:
                page.read()
            driver = Driver(address)
            if not driver.sockets() or not (driver.state("nok")["try_this"] or {}).get("steps"):
                raise RuntimeError("the page was there, and said nothing of what to try")
            return time.monotonic() - began
        finally:
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=120)
