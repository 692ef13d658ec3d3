"""`pitstop verify`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show

Cluster = Annotated[str, typer.Argument(metavar="CLUSTER", help="The cluster's name in the configuration.")]
Backup = Annotated[
    str,
    typer.Argument(
        metavar="[ID|FILE]", help="A backup's id, or an old backup's file (default: the newest of each kind)."
    ),
]

_DAMAGE, _FAILED = 4, 1
_MARKS = {True: "ok  ", False: "NO  ", None: "--  "}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(cluster: Cluster, backup: Backup = "latest", as_json: AsJson = False) -> None:
    """Prove by restoring that CLUSTER's backups work: the drill.

    Exit code 4: something is damaged; 1: something else is not as it has to be.
    """
    import time

    from bot.commands.following import carry_through
    from bot.commands.surroundings import surroundings
    from bot.model.runs import Job

    here = surroundings()
    name, _ = here.cluster(cluster, "verify")
    args: dict[str, Any] = {} if backup == "latest" else {"backup": backup}
    began = time.monotonic()
    result = carry_through(here, Job.DRILL, name, args, quiet=as_json)
    show(result, lambda: _say(result, time.monotonic() - began), as_json=as_json)
    if not result.get("ok"):
        raise typer.Exit(_DAMAGE if result.get("damaged") else _FAILED)


def _say(result: dict[str, Any], seconds: float) -> None:
    from bot.slack.text import span

    for proof in result.get("proofs", []):
        outcome = "verified" if proof["verified"] else "NOT verified"
        newest = {True: ", the newest", False: ", not the newest"}.get(proof["newest"], "")
        say(f"{proof['backup']}{newest}, from {proof['repository']}: {outcome}")
        for point in proof["points"]:
            say(f"  {_MARKS[point['ok']]}{point['name']}: {point['detail']}")
        times = ", ".join(f"{phase['name']} {span(phase['seconds'])}" for phase in proof["phases"])
        say(f"      times: {times}")
        for text in proof["warnings"]:
            remark(f"Note: {text}")
    for text in result.get("warnings", []):
        remark(f"Note: {text}")
    say(f"{'Everything holds' if result.get('ok') else 'Something does not hold'}; the drill took {span(seconds)}.")
