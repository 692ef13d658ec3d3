"""`pitstop import`: old backups become dumps in the repository."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")]
File = Annotated[str, typer.Argument(metavar="[FILE]", help="A file of the configured folder, by its name.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_old)


def import_old(
    cluster: Cluster,
    file: File = "",
    every: Annotated[bool, typer.Option("--all", help="Every file that was not imported yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import backups that older scripts of CLUSTER made, as dumps."""
    from bot.commands.following import carry_through
    from bot.commands.surroundings import surroundings
    from bot.errors import Usage
    from bot.model.runs import Job

    if bool(file) == every:
        raise Usage("Name one file, or say --all.", hint="`pitstop list CLUSTER` shows the old backups.", code="usage")
    here = surroundings()
    name, _ = here.cluster(cluster, "import")
    args: dict[str, Any] = {"all": True} if every else {"file": file}
    result = carry_through(here, Job.IMPORT, name, args, quiet=as_json)
    show(result, lambda: _say(result), as_json=as_json)
    if result["refused"]:
        raise typer.Exit(1)


def _say(result: dict[str, Any]) -> None:
    from bot.slack.text import size

    for made in result["imported"]:
        say(f"{made['file']}: {made['id']}, {made['database']}, {size(made['bytes_stored'])} stored, pinned")
    for file in result["skipped"]:
        say(f"{file}: was imported before")
    for refused in result["refused"]:
        say(f"{refused['file']}: not imported. {refused['message']}")
        remark(f"  {refused['hint']}")
    if not any(result[key] for key in ("imported", "skipped", "refused")):
        say("There are no old backups in the configured folder.")
