"""pg_dump and pg_dumpall as children: what they write, piece by piece, and what their end means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bot.errors import Conflict, Failed, PitstopError, Unavailable
from bot.host.children import Child
from bot.postgres.binaries import Binaries, find_client
from bot.postgres.connect import connection_error
from bot.postgres.dump_session import DumpSession
from bot.postgres.dump_snapshot import damaged, missing_right

TOOLS = ("pg_dump", "pg_dumpall")
_LINE = re.compile(
    r"^(?:\S*/)?(?P<tool>pg_dump(?:all)?): (?:(?P<level>error|warning|fatal|detail|hint): )?(?P<text>.*)$"
)
_GONE = (
    "server closed the connection",
    "terminating connection",
    "the database system is",
    "SSL connection has been closed",
)
_LOCKED = ("canceling statement due to lock timeout", "could not obtain lock")


def find_tools(server_major: int, bin_directories: Sequence[Path]) -> Binaries:
    """Return the installation whose pg_dump and pg_dumpall dump a server of `server_major`: of that major, else the next.

    Raises:
        Unavailable: none is here, or older ones only; the hint is the line that installs it.
    """
    return find_client(TOOLS, at_least=server_major, extra=bin_directories)


@contextmanager
def dumping(tools: Binaries, session: DumpSession, snapshot: str, options: Sequence[str | bytes]) -> Iterator[Child]:
    """Run pg_dump on an exported snapshot, in the custom format, uncompressed: that is our codec's work.

    Raises:
        Unavailable: it is missing or cannot be started.
    """
    argv = [
        os.fspath(tools.tool("pg_dump")), "--format=custom", "--compress=0", "--no-password",
        f"--snapshot={snapshot}", *options, "--dbname", session.program_conninfo(),
    ]  # fmt: skip
    with Child(argv, env=session.program_environment()) as child:
        yield child


@contextmanager
def dumping_globals(tools: Binaries, session: DumpSession, *, passwords: bool) -> Iterator[Child]:
    """Run pg_dumpall for what belongs to no database: roles, memberships, tablespaces.

    Raises:
        Unavailable: it is missing or cannot be started.
    """
    argv = [
        os.fspath(tools.tool("pg_dumpall")), "--globals-only", "--no-password",
        *([] if passwords else ["--no-role-passwords"]),
        f"--database={session.dbname}", "--dbname", session.program_conninfo(),
    ]  # fmt: skip
    with Child(argv, env=session.program_environment()) as child:
        yield child


def finish(child: Child, session: DumpSession) -> list[str]:
    """Wait for the end of a program whose output was read; return its warnings.

    Raises:
        PitstopError: it did not end well, or said that something is wrong; see `program_error`.
    """
    code, said = child.wait()
    levels = [(match["level"], match["text"]) for line in said.splitlines() if (match := _LINE.match(line))]
    if code != 0 or any(level in {"error", "fatal"} for level, _ in levels):
        raise program_error(code, said, session)
    return [text for level, text in levels if level == "warning"]


def program_error(code: int, said: str, session: DumpSession) -> PitstopError:
    """Return what the failure of a program means for us; unknown words are kept as they are.

    Usage: a right is missing. Conflict: a lock stood in the way. Unavailable: the server went away. Failed: all else.
    """
    text = complaint(said) or (f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}")
    if "permission denied" in text or "row-level security" in text:
        return missing_right(text, session)
    if "invalid page in block" in text or "could not read block" in text:
        return damaged(text, session)
    if any(words in text for words in _LOCKED):
        return Conflict(
            f"A change of the schema stood in the way of the dump of {session.dbname}: {text}.",
            hint="Dump again when it is done.",
            code="table-locked",
        )
    if "connection to server" in text:
        return connection_error(text, session.dsn)
    if any(words in text for words in _GONE):
        return Unavailable(
            f"The server ended the dump of {session.dbname}: {text}.",
            hint="Was it stopped, or the session ended? Its log says.",
            code="server-gone",
        )
    return Failed(
        f"The dump of {session.dbname} failed: {text}.",
        hint="Does the run's log or the server's say more?",
        code="dump-failed",
    )


def complaint(said: str) -> str:
    """Return the first error of a program with what it added to it, on one line without a full stop; "" when it said none. Pure."""
    words: list[str] = []
    for line in said.splitlines():
        match = _LINE.match(line)
        begins = match is not None and match["level"] in {"error", "fatal"} and not words
        adds = match is not None and match["level"] == "detail" and not match["text"].startswith("Query was")
        if match is None:
            words += [line] if words else []
        elif begins or (words and adds):
            words.append(match["text"])
        elif words:
            break
    text = " ".join(" ".join(words).split()) or " ".join(said.split())
    return text[:500].rstrip(".")
