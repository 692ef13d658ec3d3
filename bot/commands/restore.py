"""`pitstop restore`: bring a database, or tables of it, back out of a backup, beside what exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, Reason, show
from bot.commands.pitr import Yes, check_reason

if TYPE_CHECKING:
    from bot.commands.surroundings import Surroundings
    from bot.model.requests import Request
    from bot.model.restores import Wanted

IntoDatabase = Annotated[
    str,
    typer.Option(
        "--into-database",
        metavar="NAME",
        help="A new database of the live server; with --data-only one that exists.",
        show_default=False,
    ),
]
IntoSchema = Annotated[
    str,
    typer.Option(
        "--into-schema",
        metavar="DATABASE.SCHEMA",
        help="A new schema of a live database, for tables.",
        show_default=False,
    ),
]
IntoDirectory = Annotated[
    Path | None,
    typer.Option("--into-directory", help="A base backup: a new or empty folder for a server of its own."),
]
InPlace = Annotated[
    bool,
    typer.Option("--in-place", help="Take the place of the live database, which is kept for a while."),
]
Database = Annotated[
    str,
    typer.Option(
        "--database", metavar="NAME", help="Which database of the dump, where it holds several.", show_default=False
    ),
]
Table = Annotated[
    list[str] | None,
    typer.Option(
        "--table", metavar="TABLE", help="A table, as Name or schema.Name; may be repeated.", show_default=False
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restore")(restore)


def restore(
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")],
    backup: Annotated[
        str,
        typer.Argument(
            metavar="[ID]",
            help="A backup's id, latest, verified (the newest that a drill proved), or an old backup's file.",
        ),
    ] = "latest",
    into_database: IntoDatabase = "",
    into_schema: IntoSchema = "",
    into_directory: IntoDirectory = None,
    in_place: InPlace = False,
    database: Database = "",
    table: Table = None,
    schema_only: Annotated[bool, typer.Option("--schema-only", help="The definitions without the rows.")] = False,
    data_only: Annotated[
        bool, typer.Option("--data-only", help="The rows alone, into empty tables that exist.")
    ] = False,
    reason: Reason = "",
    request: Annotated[str, typer.Option("--request", metavar="ID", help="Go on with this request.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Restore a backup of CLUSTER, beside what exists or in its place.

    A dump goes into a new database or schema of the live server, a base backup into a directory.

    Nothing is overwritten: a database or schema of that name is a refusal. In place, the live database is kept under another
    name, and `pitstop kept undo` brings it back; that always takes a second person. For example:

      pitstop restore slips --into-database slips_monday --reason "compare"

      pitstop restore slips --in-place --reason "bad migration"

      pitstop restore slips verified --table Transactions --into-schema slips.rescued --dry-run

    The plan is made and shown first. Where the policy wants approval from the command line too, the command waits for it.
    """
    from bot.commands.surroundings import surroundings

    destinations = {
        "database": into_database,
        "schema": into_schema,
        "beside": into_directory,
        "in-place": in_place,
    }
    chosen = [kind for kind, given in destinations.items() if given]
    _check_words(chosen, request=request)
    here = surroundings()
    if request:
        from bot.commands.requested import existing

        found = existing(here, cluster, request, "restore")
    else:
        here.cluster(cluster, "restore")
        wanted = _wanted(backup, database, tuple(table or ()), schema_only=schema_only, data_only=data_only)
        destination = _destination(chosen[0], into_database, into_schema, into_directory)
        check_reason(reason, dry_run=dry_run, as_json=as_json)
        found = _ask(here, cluster, wanted, destination, reason)
    _carry_on(here, found, reason, dry_run=dry_run, yes=yes, as_json=as_json)


def _carry_on(here: Surroundings, found: Request, reason: str, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    from bot.commands.plans import say_outcome
    from bot.commands.requested import carry_out, planned, show_plan

    ready = planned(here, found, quiet=as_json)
    if dry_run:
        show_plan(here, ready, as_json=as_json)
        return
    outcome = carry_out(here, ready, reason, as_json=as_json, sure=yes)
    show(outcome, lambda: say_outcome(outcome), as_json=as_json)


def _check_words(chosen: list[str], *, request: str) -> None:
    from bot.errors import Usage

    if len(chosen) + bool(request) != 1:
        raise Usage(
            "Say where to, or which request to go on with.",
            hint="--into-database NAME, --into-schema DATABASE.SCHEMA, --into-directory PATH, --in-place or --request ID; one.",
            code="no-destination",
        )


def _wanted(backup: str, database: str, tables: tuple[str, ...], *, schema_only: bool, data_only: bool) -> Wanted:
    from bot.errors import Usage
    from bot.model.dumps import Part
    from bot.model.restores import Wanted

    if schema_only and data_only:
        raise Usage(
            "Definitions alone and rows alone are nothing together.",
            hint="Use one of --schema-only and --data-only, or neither.",
            code="which-part",
        )
    part = Part.SCHEMA_ONLY if schema_only else Part.DATA_ONLY if data_only else Part.FULL
    return Wanted(backup, database or None, part, tables)


def _destination(kind: str, database: str, schema: str, directory: Path | None) -> dict[str, Any]:
    from bot.errors import Usage
    from bot.model.typed import quoted

    if kind == "database":
        return {"kind": kind, "database": database}
    if kind == "in-place":
        return {"kind": kind, "database": None}
    if kind == "beside":
        assert directory is not None
        return {"kind": kind, "directory": str(directory.expanduser().absolute()), "port": None}
    of, dot, name = schema.rpartition(".")
    if not (of and dot and name):
        raise Usage(
            f"{quoted(schema)} names no schema of a database.",
            hint="--into-schema DATABASE.SCHEMA, for example slips.rescued",
            code="bad-schema",
        )
    return {"kind": kind, "database": of, "schema": name}


def _ask(here: Surroundings, cluster: str, wanted: Wanted, destination: dict[str, Any], reason: str) -> Request:
    from bot.commands.asking import ask_for

    return ask_for(here, cluster, "restore", wanted, wanted.text(), destination, reason)
