"""Page checksums of a copy that is shut down, by the server's own pg_checksums."""

from __future__ import annotations

import re
import subprocess

from bot.postgres.isolated import IsolatedServer
from bot.postgres.plain import server_environment
from bot.postgres.readable import runnable_by

_BAD = re.compile(r"^Bad checksums:\s+(\d+)", re.MULTILINE)
_SCANNED = re.compile(r"^Blocks scanned:\s+(\d+)", re.MULTILINE)


def check_pages(server: IsolatedServer) -> tuple[bool | None, str]:
    """Read every page of a copy that was stopped in good order; say whether all are sound (None: unknown), and what was found."""
    programs = runnable_by(server.binaries, server.account)
    if not programs.has("pg_checksums"):
        return None, f"pg_checksums of PostgreSQL {programs.major} is not installed here"
    account = server.account
    rights = (
        {} if account.is_current else {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}
    )
    done = subprocess.run(
        [str(programs.tool("pg_checksums")), "--check", "-D", str(server.folder.data)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=server_environment(),
        **rights,  # type: ignore[call-overload]
    )
    said = f"{done.stdout}\n{done.stderr}"
    if "checksums are not enabled" in said:
        return None, "the cluster has none: initdb --data-checksums, or pg_checksums --enable while it is down"
    bad, scanned = _BAD.search(said), _SCANNED.search(said)
    if done.returncode == 0 and scanned:
        return True, f"{int(scanned[1]):,} pages, all sound"
    if bad and int(bad[1]):
        return False, f"{int(bad[1]):,} bad pages: {_first_failure(done.stderr)}"
    return None, f"pg_checksums ended with {done.returncode}: {_last(said)}"


def _first_failure(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "checksum verification failed" in line]
    return lines[0].partition("error: ")[2][:200] if lines else "it names none"


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
