"""`pitstop storage`: the bucket or container that a repository lies in."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show

if TYPE_CHECKING:
    from bot.config import Config, RepositoryConfig

_WORDS = {
    "there": "there    ",
    "done": "done     ",
    "would": "would do ",
    "perhaps": "perhaps  ",
    "unseen": "NOT SEEN ",
    "by-hand": "by hand  ",
    "unsupported": "unknown  ",
    "failed": "FAIL     ",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The buckets and containers that repositories lie in.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command("setup")(setup)
    app.add_typer(group, name="storage")


def setup(
    repository: Annotated[
        str | None, typer.Argument(metavar="[REPOSITORY]", help="Only this one; all of them unless given.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Change nothing; print what would be sent."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make buckets and containers, with the rules they need.

    Versioning, no public access, TLS only, and a lifecycle that spares what backups need. It may be run again: what is there
    already, and what others set up, stays as it is. Exit 1 when another rule there would delete or archive what backups need.
    """
    from bot.commands.surroundings import read_config

    config, _ = read_config()
    done = [_one(name, settings, dry_run=dry_run) for name, settings in _chosen(config, repository).items()]
    failed = any(step["state"] == "failed" for one in done for step in one["steps"])
    show({"dry_run": dry_run, "repositories": done}, lambda: _say(done, dry_run=dry_run), as_json=as_json)
    return 1 if failed else 0


def _chosen(config: Config, repository: str | None) -> dict[str, RepositoryConfig]:
    from bot.errors import Usage
    from bot.model.typed import quoted

    if repository is None:
        return dict(config.repositories)
    if repository not in config.repositories:
        known = ", ".join(sorted(config.repositories))
        raise Usage(
            f"There is no repository named {quoted(repository)}.",
            hint=f"Known repositories: {known}.",
            code="unknown-repository",
        )
    return {repository: config.repositories[repository]}


def _one(name: str, settings: RepositoryConfig, *, dry_run: bool) -> dict[str, Any]:
    from bot.repository.open import open_store
    from bot.repository.stores.cloud import CloudStore

    if settings.directory is not None:
        return {"name": name, "url": settings.url, "steps": [], "rules": {}}
    store = open_store(name, settings)
    assert isinstance(store, CloudStore), "what is not a directory is in a cloud"
    try:
        place = store.place()
        steps = [asdict(step) for step in place.setup(dry_run=dry_run)]
        return {"name": name, "url": settings.url, "steps": steps, "rules": place.document()}
    finally:
        store.close()


def _say(done: list[dict[str, Any]], *, dry_run: bool) -> None:
    import json

    for one in done:
        say(f"Repository {one['name']}, {one['url']}:")
        for step in one["steps"]:
            say(f"  {_WORDS[step['state']]}{step['text']}")
        if any(step["state"] == "perhaps" for step in one["steps"]):
            say("  What is there already stays as it is; what is “perhaps” done could not be looked at.")
        if not one["steps"]:
            say("  a directory: `pitstop keys init` makes it")
        elif dry_run:
            say(json.dumps(one["rules"], indent=2))
    if not dry_run:
        say("Next: `pitstop keys init` begins new repositories, `pitstop check` tries them.")
