"""`pitstop`: the command line's one door, and the one place where errors become sentences and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bot import __version__
from bot.commands import (
    alerts,
    audit,
    backup_show,
    backups,
    bot,
    check,
    demo,
    expire,
    importing,
    kept,
    keys,
    mark,
    pins,
    pitr,
    requests,
    restore,
    runbook,
    schedule,
    scrub,
    servers,
    status,
    storage,
    sync,
    verify,
    wal,
)
from bot.commands.chosen import config_path
from bot.errors import PitstopError, Usage

INTERRUPTED = 130

app = typer.Typer(
    name="pitstop",
    help="Keeps PostgreSQL recoverable: backups, WAL, and restores that a second person approves.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (
    demo,
    bot,
    check,
    status,
    alerts,
    backups,
    backup_show,
    verify,
    importing,
    scrub,
    sync,
    expire,
    pins,
    pitr,
    restore,
    requests,
    runbook,
    schedule,
    servers,
    kept,
    mark,
    wal,
    keys,
    storage,
    audit,
):
    group.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def globally(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            readable=False,
            help="The configuration file (default: pitstop.toml, /etc/pitstop/pitstop.toml).",
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Keeps PostgreSQL recoverable: backups, WAL, and restores that a second person approves."""
    config_path.set(config)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong usage, 3 refused, 4 damage found.

    Errors end here: people get a sentence and a hint on stderr, `--json` also an `{"error": …}` document on stdout, and
    what nobody expected leaves its trace in a file rather than on the screen.
    """
    as_json = "--json" in arguments
    _log_to_stderr()
    try:
        code = app(args=config_first(arguments) or ["--help"], prog_name="pitstop", standalone_mode=False)
        sys.stdout.flush()  # a reader that left is noticed here, not when the interpreter ends
        return code if isinstance(code, int) else 0
    except typer.Exit as exit_:
        return exit_.exit_code
    except typer.TyperException as error:
        mistyped = _usage(error)
        _note(mistyped, arguments)
        return _tell(mistyped, 2, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _tell(PitstopError("Interrupted.", code="interrupted"), INTERRUPTED, as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the edge of the command line
        return told(error, as_json=as_json)


def told(error: Exception, *, as_json: bool = False) -> int:
    """Tell an error that ends the process, and return the exit code."""
    if isinstance(error, PitstopError):
        return _tell(error, error.exit_code, as_json=as_json)
    return _tell(_unexpected(error), 1, as_json=as_json)


def _log_to_stderr() -> None:
    """Keep stdout for the answer, whatever a command imports and whoever logs there.

    A person follows phases and reads the answer; the log's own lines begin with warnings. Bot and jobs log from INFO on.
    """
    import logging

    from bot.log import to_stderr

    to_stderr(level=logging.WARNING)


def config_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--config PATH` in front, wherever it was written. Pure."""
    rest, found = list[str](), list[str]()
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--config":
            found = [word, *[value for value in [next(words, None)] if value is not None]]
        elif word.startswith("--config="):
            found = [word]
        else:
            rest.append(word)
    return found + rest


def _usage(error: typer.TyperException) -> Usage:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "pitstop"
    sentence = error.format_message().rstrip(".")
    return Usage(
        sentence if sentence.endswith("?") else f"{sentence}.",
        hint=f"`{command} --help` shows how it is written.",
        code="usage",
    )


def _note(mistyped: Usage, arguments: Sequence[str]) -> None:
    """Note in the audit what was typed in vain, where an installation is whose ledger whoever typed it may write."""
    from bot import desk
    from bot.commands.surroundings import read_config, surroundings
    from bot.log import redact

    words = config_first(arguments)
    if words[:1] == ["--config"]:
        config_path.set(Path(words[1]) if words[1:] else None)
        del words[:2]
    elif words and words[0].startswith("--config="):
        config_path.set(Path(words.pop(0).partition("=")[2]))
    with contextlib.suppress(PitstopError, OSError):
        if read_config()[0].ledger.exists():
            here = surroundings()
            desk.note_attempt(here.ledger, here.now(), here.me.key, "command", redact(" ".join(words))[:200], mistyped)


def _tell(error: PitstopError, code: int, *, as_json: bool) -> int:
    from bot.commands.output import clean

    if as_json:
        print(json.dumps({"error": error.as_json()}, indent=2, ensure_ascii=False))
    print(clean(f"pitstop: {error.message}"), file=sys.stderr)
    if error.hint:
        print(clean(f"  {error.hint}"), file=sys.stderr)
    return code


def _unexpected(error: Exception) -> PitstopError:
    from bot.log import redact

    with tempfile.NamedTemporaryFile("w", prefix="pitstop-", suffix=".log", delete=False, encoding="utf-8") as file:
        file.write(redact("".join(traceback.format_exception(error))))
    return PitstopError(
        f"Something happened that nobody expected: {type(error).__name__}.",
        hint=f"The details are in {file.name}; they belong in a bug report.",
        code="unexpected",
    )
