"""`pitstop demo`: everything on this machine, with a Slack workspace in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    story: Annotated[
        bool, typer.Option("--story", help="Play the story without a browser; exit 0 if rows came back.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the page; 0: any free one.")] = 0,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where to keep the demo (default: a temporary folder, removed after).")
    ] = None,
) -> int:
    """Try it here: PostgreSQL, the bot and Slack in your browser.

    A sample PostgreSQL, the real bot and a local Slack workspace; nothing else is needed, nothing stays behind.
    """
    from bot.demo.run import run

    return run(story=story, port=port, directory=directory)
