"""`pitstop audit` and `pitstop manifest`: what can be checked and handed on from here."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.commands.output import AsJson, say, show


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The audit: who asked, decided and did what.", rich_markup_mode=None)
    group.command("verify")(verify)
    group.command("export")(export)
    app.add_typer(group, name="audit")
    app.command("manifest")(manifest)


def verify(
    head: Annotated[
        list[str] | None, typer.Option("--head", metavar="N:HASH", help="A head written down earlier; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check the chain of the audit; exit 4 if it is broken.

    Nothing was changed, removed, reordered or, compared with a head written down earlier, cut off.
    """
    from bot.commands.surroundings import surroundings
    from bot.errors import Usage
    from bot.ledger import audit
    from bot.model.audit import Anchor

    try:
        anchors = [Anchor.parse(text) for text in head or ()]
    except ValueError as error:
        raise Usage(f"{error}.", hint="Copy it as `pitstop audit verify` printed it.", code="bad-head") from None
    with surroundings().ledger.read() as tx:
        report = audit.verify(tx, anchors)
    document = {
        "entries": report.entries,
        "head": str(report.head),
        "intact": report.intact,
        "problems": list(report.problems),
    }

    def lines() -> None:
        for problem in report.problems:
            say(problem)
        if report.intact:
            say(f"The audit is intact: {report.entries} entries.")
        say(f"Head, to write down elsewhere: {report.head}")

    show(document, lines, as_json=as_json)
    return 0 if report.intact else 4


def export(as_json: AsJson = False) -> None:
    """Print the whole audit, one JSON line per entry. With --json it is one document."""
    import json

    from bot.commands.surroundings import surroundings
    from bot.ledger import audit

    with surroundings().ledger.read() as tx:
        entries = list(audit.export(tx))
    document = {"entries": [json.loads(line) for line in entries]} if as_json else None
    show(document, lambda: print("\n".join(entries)), as_json=as_json)


def manifest(
    url: Annotated[
        str, typer.Option("--url", help="For signed HTTP: the https:// address that leads to /slack/events here.")
    ] = "",
    as_json: AsJson = False,  # noqa: ARG001 - accepted, as everywhere
) -> None:
    """Print the Slack app manifest. Create the app from it at api.slack.com/apps; it is JSON with and without --json."""
    from bot.slack.manifest import manifest as slack_manifest

    show(slack_manifest(request_url=url), lambda: None, as_json=True)
