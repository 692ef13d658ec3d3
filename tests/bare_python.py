"""A Python that has nothing but `cryptography` and `zstandard`: what the stand-alone script may count on."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path

PACKAGES = ("cryptography", "zstandard", "cffi", "pycparser")
"""The two, and what `cryptography` brings along."""


def bare_python(home: Path) -> Path:
    """Make a virtual environment in `home` with those packages, as they are installed here; return its Python."""
    venv.create(home, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site, ours = home / "lib" / version / "site-packages", Path(sysconfig.get_paths()["purelib"])
    for package in PACKAGES:
        for name in {
            file.parts[0] for file in distribution(package).files or () if file.parts[0] not in {"..", "__pycache__"}
        }:
            (site / name).symlink_to(ours / name)
    python = home / "bin" / "python3"
    for module in ("bot", "pydantic", "psycopg", "boto3"):
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False, cwd="/")
        assert found.returncode == 1, f"{module} is there"
    return python
