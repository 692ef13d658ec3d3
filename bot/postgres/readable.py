"""Make PostgreSQL's programs runnable by an account that cannot read where they are installed.

Started as root from an environment under /root, the server's account may not even enter the folder: it then gets a
private copy, made once per version, whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bot.errors import Unavailable
from bot.host.accounts import Account
from bot.host.locks import FileLock
from bot.postgres.binaries import Binaries

_CACHES = (Path("/var/cache/pitstop"), Path("/var/tmp/pitstop"))  # noqa: S108 -- a new 0700 folder, or one checked to be root's


def runnable_by(binaries: Binaries, account: Account, *, cache: Path | None = None) -> Binaries:
    """Return programs that `account` can run: these, or a readable copy of them under `cache`.

    Slow once (about 40 MB are copied); afterwards the copy is found by version and content.

    Raises:
        Unavailable: no folder for the copy can be written.
    """
    if account.is_current or _can_run(binaries, account):
        return binaries
    folder = cache or _cache()
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    home = folder / f"postgresql-{binaries.version}-{_fingerprint(binaries)}"
    with FileLock(folder / "lock"):
        if not home.exists():
            _copy(binaries, folder, home)
    return Binaries(binaries.major, binaries.version_num, home / _inside(binaries) / binaries.bin_dir.name)


def _can_run(binaries: Binaries, account: Account) -> bool:
    """Try it: the answer covers modes, access lists and every folder on the way."""
    try:
        tried = subprocess.run(
            [binaries.bin_dir / "postgres", "--version"],
            capture_output=True,
            timeout=30,
            check=False,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=list(account.groups),
        )
    except OSError:
        return False
    return tried.returncode == 0


def _copy(binaries: Binaries, folder: Path, home: Path) -> None:
    """Copy under a temporary name and rename: what has the final name is whole. Half copies of a crash go first."""
    for left in folder.glob(".making-*"):
        shutil.rmtree(left)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    top = binaries.bin_dir.parent.parent.parent
    for tree in binaries.trees:
        shutil.copytree(tree, making / tree.relative_to(top), symlinks=True, ignore=shutil.ignore_patterns("include"))
    for path in (making, *making.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    making.rename(home)


def _inside(binaries: Binaries) -> Path:
    prefix = binaries.bin_dir.parent
    return prefix.relative_to(prefix.parent.parent)


def _fingerprint(binaries: Binaries) -> str:
    stat = (binaries.bin_dir / "postgres").stat()
    text = f"{binaries.bin_dir} {stat.st_size} {stat.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _cache() -> Path:
    for folder in _CACHES:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        except OSError:
            continue
        found = folder.lstat()
        if found.st_uid == os.geteuid() and not found.st_mode & 0o022 and not folder.is_symlink():
            return folder
    raise Unavailable(
        "PostgreSQL's programs cannot be read by the account that must run them, and there is no place for a copy.",
        hint=f"Can {_CACHES[0]} be written? Or install PostgreSQL with apt-get.",
        code="binaries-unreadable",
    )
