"""Which of PostgreSQL's programs a cluster's restores need here, and the line that installs what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.postgres.binaries import Binaries, install_line
from bot.postgres.findings import Finding

_TOOLS = {
    "postgres": "nothing of it can be restored on this machine",
    "pg_waldump": "only `latest` can be a target, and no other one",
}


def check_programs(version_num: int, here: Sequence[Binaries]) -> Iterator[Finding]:
    """Yield what restores of a server of `version_num` (as in 160002) need and lack; `here` is what is installed."""
    major = version_num // 10000
    ours = sorted((b for b in here if b.major == major), key=lambda b: b.version_num)
    if not ours:
        have = ", ".join(str(b.major) for b in here) or "none"
        sentence = f"PostgreSQL {major} is not installed here (found: {have}): nothing can be restored on this machine."
        yield Finding("fail", "programs", sentence, install_line(major))
        return
    newest = ours[-1]
    missing = [tool for tool in _TOOLS if not newest.has(tool)]
    for tool in missing:
        yield Finding(
            "fail",
            "programs",
            f"{tool} of PostgreSQL {major} is missing in {newest.bin_dir}: {_TOOLS[tool]}.",
            install_line(major),
        )
    if newest.version_num < version_num:
        sentence = f"PostgreSQL here is {newest.version}, older than the server's {major}.{version_num % 10000}."
        yield Finding("warn", "programs-older", sentence, install_line(major))
    elif not missing:
        yield Finding("ok", "programs", f"PostgreSQL {newest.version} is here for restores.")
