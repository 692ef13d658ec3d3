"""Command lines as people type them: `pitstop` as its own process, with what it printed and how it ended."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog

from bot.cli import run

PITSTOP = (sys.executable, "-I", "-m", "bot")


@dataclass(frozen=True)
class Said:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; fails when there is more, or less."""
        return json.loads(self.out)


class Typed(Protocol):
    """`typed("list", "slips", config=path)`: one command line in this process."""

    def __call__(self, *words: str, config: Path | None = None) -> Said:
        """Run it and return what it said."""
        ...


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Iterator[Typed]:
    """The command line without a process of its own: for many answers in little time. Its logging is taken back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def run_here(*words: str, config: Path | None = None) -> Said:
        capsys.readouterr()
        code = run([*words, *(("--config", str(config)) if config else ())])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    yield run_here
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def pitstop(
    *words: str, config: Path | None = None, cwd: str | Path = "/", stdin: str = "", **environment: str
) -> Said:
    """Run one command line without a terminal, without Slack's tokens, and with `environment` added."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLACK_", "SUDO_"))}
    place = ("--config", str(config)) if config else ()
    done = subprocess.run(
        [*PITSTOP, *place, *words],
        capture_output=True,
        check=False,
        text=True,
        cwd=cwd,
        input=stdin,
        env=env | environment,
        timeout=240,
    )
    return Said(done.returncode, done.stdout, done.stderr)
