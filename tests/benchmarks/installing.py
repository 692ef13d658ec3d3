"""Peers are installed by the benchmark's own set-up: from Debian into the system, from PyPI into the benchmark's folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


class Missing(Exception):
    """A peer is not here and could not be installed; says why and how to."""


def ensure_programs(packages: Mapping[str, str]) -> None:
    """Make sure that programs are on the PATH; `packages` has Debian's package for each. They start nothing.

    Raises:
        Missing: one is not here and cannot be installed.
    """
    wanted = sorted({package for program, package in packages.items() if shutil.which(program) is None})
    if not wanted:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"not installed. On Debian: apt-get install {' '.join(wanted)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *wanted]):
        done = subprocess.run(["apt-get", *argv], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"{', '.join(wanted)} could not be installed: {done.stderr.strip()[-300:]}")


def environment_with(folder: Path, *installs: list[str]) -> Path:
    """Make a virtual environment and install into it: each of `installs` is what one `pip install` gets. Return its `bin`.

    Raises:
        Missing: something could not be installed.
    """
    _run([sys.executable, "-m", "venv", folder])
    for what in installs:
        _run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what])
    return folder / "bin"


def _run(argv: list[str | Path]) -> None:
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"could not be installed from PyPI: {done.stderr.strip()[-300:]}")
