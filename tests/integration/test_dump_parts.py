"""What the last dump is taken for: one of a part never is it, and one with far fewer rows than before says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.ledger import catalogue
from bot.model.ids import BackupId
from bot.model.requests import State
from bot.model.restores import Wanted
from bot.model.runs import Job
from jobs.catalogue import renew_catalogue
from jobs.context import utc_now
from tests.commands import Typed
from tests.integration.drills import drilled, noes
from tests.integration.test_monitor import WARN, Watch, over, scheduled
from tests.jobs import CLUSTER, install
from tests.recoveries import RIGHTS, agreed, asked, execute
from tests.servers import PlainServerFactory
from tests.servers import execute as sql
from tests.swaps import open_shop

pytestmark = pytest.mark.pg
PARTS: dict[str, dict[str, Any]] = {
    "schema-only": {"part": "schema-only"},
    "data-only": {"part": "data-only"},
    "chosen tables": {"tables": ["orders"]},
    "tables left out": {"exclude_tables": ["orders"]},
    "chosen databases": {"databases": ["postgres"]},
}


def test_a_part_never_stands_for_everything(plain_server: PlainServerFactory, tmp_path: Path, typed: Typed) -> None:
    """It is named as such in lists, `latest` passes it over, it comes back by its id alone, and never in place."""
    shop = open_shop(plain_server(18), tmp_path)
    here, config = shop.installation, shop.installation.config_path
    [whole] = here.repository().backups()
    made = {BackupId(here.run(Job.DUMP, **args)["id"]): word for word, args in PARTS.items()}
    assert {one.id: one.partial for one in here.repository().backups()} == {whole.id: "", **made}
    listed = typed("list", CLUSTER, config=config).out
    assert all(word in listed for word in PARTS)
    assert typed("status", "--json", config=config).json["clusters"][CLUSTER]["last_dump"]["id"] == whole.id

    for wanted in (Wanted(), Wanted(database="shop")):
        newest = asked(here, "restore", wanted, "latest", {"kind": "database", "database": "again"})
        assert newest.plan is not None, newest.outcome
        assert [link.backup for link in newest.plan.steps.chain] == [whole.id]
    by_name = Wanted(database="postgres")
    newest = asked(here, "restore", by_name, "latest", {"kind": "database", "database": "again"})
    assert newest.plan is not None, newest.outcome
    assert made[newest.plan.steps.chain[0].backup] == "chosen databases", "of the database it is whole"

    assert [link.backup for link in shop.approved().plan.steps.chain] == [whole.id]  # type: ignore[union-attr]
    for backup, word in made.items():
        in_place = Wanted(backup, "postgres" if word == "chosen databases" else "shop")
        refused = asked(here, "restore", in_place, "it", {"kind": "in-place", "database": None})
        assert (refused.state is State.REFUSED) is (word != "chosen databases"), word
        if word not in {"chosen databases", "data-only"}:  # rows alone are refused for what they are
            assert (refused.outcome or {})["code"] == "in-place-whole"
            assert word in (refused.outcome or {})["message"]
    [chosen] = [backup for backup, word in made.items() if word == "chosen tables"]
    beside = asked(here, "restore", Wanted(chosen), "it", {"kind": "database", "database": "again"})
    assert beside.plan is not None
    assert "holds a part only: chosen tables" in " ".join(beside.plan.facts.warnings)


def test_where_there_are_only_parts_it_says_so(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Without a sound whole dump `latest` names the one of a part, and what to do, instead of restoring it."""
    shop = open_shop(plain_server(18), tmp_path)
    here = shop.installation
    [whole] = here.repository().backups()
    here.repository().record_event(whole.id, "damaged", at=utc_now(), text="marked for this test")
    part = here.run(Job.DUMP, tables=["orders"])["id"]
    refused = asked(here, "restore", Wanted(), "latest", {"kind": "database", "database": "again"})
    assert (refused.outcome or {})["code"] == "no-dump"
    assert part in (refused.outcome or {})["hint"]


def test_chosen_tables_come_back_without_what_they_lead_to(plain_server: PlainServerFactory, server_home: Path) -> None:
    """A table with a foreign key to one that was not chosen, and one in a schema of its own: all of the dump comes back."""
    server = plain_server(18)
    here = install(server_home / "p", server, RIGHTS, f'[restore]\ndirectory = "{server_home}/restores"')
    sql(server, "CREATE TABLE orders AS SELECT generate_series(1, 3) AS id")
    sql(server, "ALTER TABLE orders ADD PRIMARY KEY (id)")
    sql(server, 'CREATE SCHEMA "Au.dit"')
    sql(
        server,
        'CREATE TABLE "Au.dit"."It ""em" (id int PRIMARY KEY, "Order" int CONSTRAINT "of (order)" REFERENCES orders,'
        ' of int CONSTRAINT own REFERENCES "Au.dit"."It ""em")',
    )
    sql(server, 'INSERT INTO "Au.dit"."It ""em" VALUES (1, 1, NULL), (2, 2, 1)')
    made = here.run(Job.DUMP, tables=['"Au.dit"."It ""em"'])["id"]
    [proof] = drilled(here, backup=made)["proofs"]
    assert (noes(proof), proof["verified"]) == ({}, True)
    assert ["postgres", "Au.dit", 'It "em', 2] in proof["tables"]
    for number, wanted in enumerate((Wanted(made), Wanted(made, tables=('"Au.dit"."It ""em"',)))):
        name = f"again{number}"
        planned = asked(here, "restore", wanted, "it", {"kind": "database", "database": name})
        assert planned.plan is not None, planned.outcome
        said = " ".join(planned.plan.facts.warnings)
        assert "of (order) leads to a table that is not" in said
        assert "lacks the schemas of its tables; the restoring role makes them: Au.dit." in said
        done = execute(here, agreed(here, planned).id)
        assert done.state is State.SUCCEEDED, done.outcome
        assert sql(server, 'SELECT count(*) FROM "Au.dit"."It ""em"', dbname=name) == [(2,)]
        keys = sql(server, "SELECT conname::text FROM pg_constraint WHERE contype = 'f'", dbname=name)
        assert keys == [("own",)], "the one to itself holds"


def test_a_part_ends_no_alert_and_raises_none(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """The nightly dump is overdue although one of a part is fresh; a small part after three whole ones is no strange size."""
    shop = open_shop(plain_server(18), tmp_path)
    here = shop.installation
    watch = Watch(here)
    scheduled(here, Job.DUMP)
    for _ in range(3):
        here.run(Job.DUMP)
    renew_catalogue(here.config, here.ledger, CLUSTER)
    with here.ledger.transaction() as tx:
        old = [_older(one) for one in catalogue.list(tx, CLUSTER)]
        catalogue.replace(tx, CLUSTER, "local", old)
    here.run(Job.DUMP, part="schema-only")
    with here.ledger.transaction() as tx:
        [part] = [one for one in catalogue.list(tx, CLUSTER) if one.partial]
        catalogue.replace(tx, CLUSTER, "local", [*old, part])
    assert watch.sees("backup-age", "dump") == WARN
    assert watch.sees("backup-size", "dump") is None


def test_a_table_that_was_emptied_is_told_by_the_next_dump(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """On its card, in the plan that would restore it, and as an alert, which ends with the first dump that has the rows again."""
    shop = open_shop(plain_server(18), tmp_path)
    here = shop.installation
    here.run(Job.DUMP)
    watch = Watch(here)
    assert watch.sees("row-counts", "dump") is None, "half of them is what may go"
    shop.sql("CREATE TABLE rescued AS TABLE orders")
    shop.sql("TRUNCATE orders")
    emptied = here.run(Job.DUMP)
    assert [one["table"] for one in emptied["fallen"]] == ["shop.public.orders"]
    assert "shop.public.orders has 0 rows; the 2 dumps before it had 75." in emptied["warnings"]
    assert watch.sees("row-counts", "dump") == WARN
    planned = asked(here, "restore", Wanted(), "latest", {"kind": "database", "database": "again"})
    assert planned.plan is not None
    assert "has 0 rows" in " ".join(planned.plan.facts.warnings)
    assert here.run(Job.DUMP, tables=["rescued"])["fallen"] is None
    assert watch.sees("row-counts", "dump") == WARN, "one of a part says nothing of it"
    here.run(Job.DUMP)
    assert watch.sees("row-counts", "dump") == WARN, "that it is so for the second time does not make it right"
    shop.sql("INSERT INTO orders OVERRIDING SYSTEM VALUE SELECT * FROM rescued")
    assert here.run(Job.DUMP)["fallen"] == []
    assert over(watch.sees("row-counts", "dump"))


def _older(one: Any) -> Any:
    day = timedelta(hours=25)
    return replace(one, started_at=one.started_at - day, finished_at=one.finished_at - day, bytes_read=10**9)
