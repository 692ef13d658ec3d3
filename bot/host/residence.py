"""Where we live: do jobs outlive a restart of the bot, or is the bot a container's main process, whose end ends all?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_INITS = {"tini", "docker-init", "dumb-init", "catatonit", "s6-svscan"}


def jobs_outlive_us() -> bool:
    """Say whether jobs go on when the bot is restarted; see `outlive`."""
    return outlive(_argv(1), [_argv(child) for child in _children(1)])


def outlive(first: Sequence[str], children: Sequence[Sequence[str]]) -> bool:
    """Say from the command lines of process 1 and its children whether jobs outlive the bot. Pure.

    They do not where process 1 is the bot, or a container's small init that runs the bot: the container ends with it. Under
    systemd they do, by the unit's KillMode=process.
    """
    if _is_bot(first):
        return False
    small_init = bool(first) and Path(first[0]).name in _INITS
    return not (small_init and (_names_bot(first) or any(_is_bot(child) for child in children)))


def _is_bot(argv: Sequence[str]) -> bool:
    """Say whether a command line is `pitstop run` or `python -m bot run`."""
    words = [Path(word).name for word in argv[:6]]
    return "run" in argv and ("pitstop" in words or ("-m" in argv and "bot" in argv))


def _names_bot(argv: Sequence[str]) -> bool:
    return "--" in argv and _is_bot(argv[list(argv).index("--") + 1 :])


def _argv(pid: int) -> list[str]:
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode("utf-8", "replace") for word in data.split(b"\0") if word]


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []
