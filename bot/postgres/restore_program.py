"""pg_restore as a child: fed an archive piece by piece, stopped at the first statement that fails, and what its end means.

The archive comes through a pipe, so nothing of it is ever a plain file; pg_restore's `--jobs` would need one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bot.errors import Failed, PitstopError, Unavailable
from bot.host.children import Child
from bot.postgres.binaries import Binaries, find_client
from bot.postgres.dump_session import DumpSession

LOOK_EVERY_S = 0.5
_SAID = re.compile(r"^(?:\S*/)?(?:pg_restore|pg_dump): (?:(?P<level>error|warning|fatal|detail|hint): )?(?P<text>.*)$")
_GONE = (
    "server closed the connection", "terminating connection", "the database system is", "connection to server",
    "no connection to the server",
)  # fmt: skip


def find_pg_restore(server_major: int, archive_major: int, bin_directories: Sequence[Path]) -> Binaries:
    """Return the installation whose pg_restore reads archives of pg_dump `archive_major` for a server of `server_major`.

    Raises:
        Unavailable: none is here, or older ones only; the hint is the line that installs it.
    """
    return find_client(("pg_restore",), at_least=max(server_major, archive_major), extra=bin_directories)


@contextmanager
def restoring(
    tools: Binaries, session: DumpSession, options: Sequence[str], *, chosen: bytes | None = None
) -> Iterator[Child]:
    """Run pg_restore into the session's database, to be fed an archive; `chosen` is the list of what is taken of it.

    The list has no name on any disk: it is in memory, and gone with us and the program.

    Raises:
        Unavailable: it is missing or cannot be started.
    """
    with ExitStack() as stack:
        lists = [] if chosen is None else [stack.enter_context(in_memory(chosen))]
        argv = [
            os.fspath(tools.tool("pg_restore")), "--format=custom", "--exit-on-error", "--no-password", *options,
            *(f"--use-list=/proc/self/fd/{one}" for one in lists), "--dbname", session.program_conninfo(),
        ]  # fmt: skip
        yield stack.enter_context(Child(argv, env=session.program_environment(), fed=True, files=lists))


@contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """Yield the descriptor of a file in memory that holds `content`."""
    with open(os.memfd_create("pitstop-list"), "wb") as file:  # noqa: PTH123 - it has no path
        file.write(content)
        file.flush()
        yield file.fileno()


def feed(child: Child, pieces: Iterable[bytes], *, on_bytes: Callable[[int], None], check: Callable[[], None]) -> None:
    """Write all pieces to a program, calling `check` while it takes none; return early when it takes no more."""
    done = 0
    for piece in pieces:
        rest = memoryview(piece)
        while len(rest):
            check()
            written = child.write(rest, LOOK_EVERY_S)
            if written is None:
                return
            rest = rest[written:]
            done += written
        on_bytes(done)
    child.end_input()


def finish(child: Child, database: str, *, check: Callable[[], None]) -> list[str]:
    """Wait for the end of a program that was fed; return its warnings.

    Raises:
        Failed: a statement failed; it is named. Unavailable: the server went away.
    """
    child.end_input()
    while not child.ended(LOOK_EVERY_S):
        check()
    code, said = child.wait()
    lines = [(match["level"], match["text"]) for line in said.splitlines() if (match := _SAID.match(line))]
    if code != 0 or any(level in {"error", "fatal"} for level, _ in lines):
        raise failure(code, said, database)
    return [text for level, text in lines if level == "warning"]


def failure(code: int, said: str, database: str) -> PitstopError:
    """Return what the failure of pg_restore means for us, with the server's words and the statement. Pure."""
    text = complaint(said) or (f"it was ended by signal {-code}" if code < 0 else f"it ended with exit code {code}")
    if any(words in text for words in _GONE):
        return Unavailable(
            f"The server ended the restore of {database}: {text}.",
            hint="Was it stopped, or the session ended? Its log says.",
            code="server-gone",
        )
    return Failed(
        f"A statement of the dump failed, so {database} was not restored: {text}.",
        hint="Does the server lack a role, an extension or a library that the dump's server had?",
        code="restore-failed",
    )


def complaint(said: str) -> str:
    """Return the first error of the program with the statement it was about, on one line without a full stop. Pure."""
    kept: list[str] = []
    for line in said.splitlines():
        match = _SAID.match(line)
        if kept and match is not None:
            break
        if kept or (match is not None and match["level"] in {"error", "fatal"}):
            kept.append(match["text"] if match is not None else line)
    text = " ".join(" ".join(kept).split()) or " ".join(said.split())
    return text[:600].rstrip(".; ")
