"""Hold a dump's counts to those of the dumps before it, as the ledger knows them: a table that was emptied is told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.ledger import catalogue, contents
from bot.model.contents import Contents
from bot.model.drills import Bounds, Counts, TableName, fallen
from jobs.context import JobContext

_COMPARED = 7


def fallen_tables(context: JobContext, databases: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the tables that lost far more rows than usual: [{"table", "sentence"}]. `databases` are those of the manifest."""
    wishes = context.config.cluster(context.run.cluster).drill
    counts: Counts = {
        TableName(str(one["name"]), str(table["schema"]), str(table["name"])): table["rows"]
        for one in databases
        for table in one["tables"]
    }
    bounds = Bounds(wishes.max_shrink, dict(wishes.min_rows), wishes.may_shrink)
    found = fallen(counts, [_counts(one) for one in _before(context)], bounds, wishes.critical_tables)
    return [{"table": table, "sentence": sentence} for table, sentence in found]


def _before(context: JobContext) -> list[Contents]:
    """Return what is in the newest sound dumps of everything, as far as the ledger has read it."""
    with context.ledger.read() as tx:
        dumps = [
            one
            for one in catalogue.list(tx, context.run.cluster)
            if one.kind == "dump" and not one.partial and not one.damaged
        ]
        found = [contents.find(tx, context.run.cluster, one.id) for one in dumps[:_COMPARED]]
    return [one for one in found if one is not None]


def _counts(found: Contents) -> Counts:
    return {
        TableName(one.name, table.schema, table.name): table.rows for one in found.databases for table in one.tables
    }
