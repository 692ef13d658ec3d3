"""What commands print: one JSON document with `--json`, else lines and tables for people; progress on a terminal only."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bot.model.runs import Run

AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document; logs go to stderr.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; approvers and the audit see it.", show_default=False)]


def show(document: object, lines: Callable[[], None], *, as_json: bool) -> None:
    """Print `document` as JSON, times in ISO 8601, or call `lines` to print for people."""
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False, default=_as_text))
    else:
        lines()


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def say(text: str) -> None:
    """Print one line for people, without control characters of foreign text."""
    print(clean(text))


def remark(text: str) -> None:
    """Print a line beside the answer, to stderr."""
    print(clean(text), file=sys.stderr)


def clean(text: str) -> str:
    """Return `text` without characters that could drive a terminal; line breaks stay. Pure."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print rows under a head, in columns as wide as their content; `empty` says what it means that there is none."""
    if not rows:
        say(empty)
        return
    lines = [[clean(cell).replace("\n", " ") for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def when(at: datetime | None) -> str:
    """Return a time in UTC as people read it, or a dash."""
    from datetime import UTC

    from bot.model.times import describe

    return describe(at.replace(microsecond=0), UTC) if at else "-"


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[Run | None], None]]:
    """Yield a function that shows how far a run is: bars on a terminal, a line per phase elsewhere, on stderr."""
    if quiet:
        yield lambda _run: None
    elif sys.stderr.isatty():
        with _bars() as update:
            yield update
    else:
        yield _phase_lines()


def _phase_lines() -> Callable[[Run | None], None]:
    seen: set[tuple[str, str]] = set()

    def update(run: Run | None) -> None:
        for phase in run.phases if run else ():
            if run and (run.id, phase.name) not in seen:
                seen.add((run.id, phase.name))
                remark(f"{phase.name} …")

    return update


@contextmanager
def _bars() -> Iterator[Callable[[Run | None], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Bytes(DownloadColumn):
        def render(self, task: Task) -> Text:
            return super().render(task) if task.fields["counted"] else Text("")

    class Speed(TransferSpeedColumn):
        def render(self, task: Task) -> Text:
            return super().render(task) if task.fields["counted"] else Text("")

    columns = (TextColumn("{task.description:<24}"), BarColumn(), Bytes(), Speed(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[tuple[str, int], Any] = {}

        def update(run: Run | None) -> None:
            for number, phase in enumerate(run.phases if run else ()):
                assert run is not None
                task = tasks.get((run.id, number))
                if task is None:
                    task = tasks[run.id, number] = bars.add_task(clean(phase.name), total=None, counted=False)
                if phase.seconds is not None:
                    done = bars.tasks[task].completed or 1
                    bars.update(task, completed=done, total=done)
                elif number == len(run.phases) - 1:
                    counted = bool(run.bytes_done or run.bytes_total)  # a phase may have no bytes to tell of
                    bars.update(task, completed=run.bytes_done, total=run.bytes_total, counted=counted)

        yield update
