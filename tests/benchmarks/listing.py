"""`pitstop list` and a dry run of retention over 1,000 backups and 100,000 segments, beside `pgbackrest info` and `expire`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from bot.ledger import Ledger
from tests.benchmarks.counting import PAGE, Listings, counting
from tests.benchmarks.ground import Cluster, Ground, Options
from tests.benchmarks.measuring import Cost, measured
from tests.benchmarks.peers import installed_pgbackrest
from tests.benchmarks.summary import Headline, Report, Requirement, spread
from tests.benchmarks.turns import HEADERS, Turns, take_turns
from tests.benchmarks.years import Years, age, years_old
from tests.jobs import CLUSTER, Installation

ABOUT = "list and a dry run of retention with 1,000 backups and 100,000 segments: wall, CPU, listing requests"
NEEDS = ("PostgreSQL 15", "pgBackRest")
_LIST, _FIRST, _EXPIRE = "pitstop list", "pitstop list, for the first time", "pitstop expire --dry-run"


def run(ground: Ground, options: Options) -> Report:
    """Build the repositories, then list and judge in turns; each command is a process of its own, as people run it."""
    years = Years(200, 20_000) if options.quick else Years(1_000, 100_000)
    runs = options.repeats(7)
    cluster, _ = years_old(ground, years)
    listed = _listings(cluster.installation)
    lists: dict[str, Callable[[], Cost]] = {
        _LIST: lambda: _pitstop(cluster, "list", CLUSTER),
        _FIRST: lambda: _first_list(cluster),
    }
    expires: dict[str, Callable[[], Cost]] = {_EXPIRE: lambda: _pitstop(cluster, "expire", CLUSTER, "--dry-run")}
    others, left_out = installed_pgbackrest(ground, cluster)
    for peer in others:
        age(peer, years)
        lists[f"{peer.name} info"] = lambda peer=peer: peer.measure("info")  # type: ignore[misc]
        expires[f"{peer.name} expire --dry-run"] = lambda peer=peer: peer.measure("expire", "--dry-run")  # type: ignore[misc]
    listing, expiring = take_turns(runs, lists), take_turns(runs, expires)
    wall = spread([cost.wall_s for cost in listing.ours])
    pages = math.ceil(listed.names / PAGE)
    return Report(
        name="listing",
        conditions=f"{years.backups:,} backups, {years.segments:,} segments, {runs} runs each, in turns",
        headers=HEADERS,
        rows=[*_rows(listing, _LIST), *_rows(expiring, _EXPIRE)],
        data={
            "backups": years.backups,
            "segments": years.segments,
            "list": listing.as_json(),
            "expire": expiring.as_json(),
            "listing_requests": listed.requests,
            "listed_names": listed.names,
        },
        requirements=(
            Requirement("pitstop list, wall", wall.median, 1, "s"),
            Requirement(f"its listing requests, of one for each {PAGE:,} listed", listed.requests / pages, 1.1),
        ),
        notes=[
            *left_out,
            f"The catalogue and the WAL take {listed.requests:,} listing requests for {listed.names:,} names.",
            "pgBackRest keeps its backups in one file, here unencrypted, and lists folders of its WAL.",
        ],
        headlines=[
            *_headlines("list", years, listing, f"{wall.text()} s, {listed.requests} listing requests", "1 s"),
            *_headlines("retention, dry run", years, expiring, "", ""),
        ],
    )


def _listings(here: Installation) -> Listings:
    """Count the listings that the catalogue and an inventory of the WAL take."""
    repository, listings = counting(here.repository_of_all())
    for system in repository.systems(CLUSTER):
        history = repository.cluster(CLUSTER, system)
        history.backups()
        history.wal.inventory()
    return listings


def _pitstop(cluster: Cluster, *words: str) -> Cost:
    argv = [sys.executable, "-I", "-m", "bot", "--config", str(cluster.installation.config_path), *words]
    return measured(argv, log=cluster.log, server=cluster.server.identity.pid)


def _first_list(cluster: Cluster) -> Cost:
    """List with a ledger that remembers nothing, as after a new installation."""
    here = cluster.installation
    for path in here.config.ledger.parent.glob(f"{here.config.ledger.name}*"):
        path.unlink()
    Ledger(here.config.ledger).create()
    return _pitstop(cluster, "list", CLUSTER)


def _rows(turns: Turns, ours: str) -> list[tuple[str, ...]]:
    first, *others = turns.rows()
    return [(ours, *first[1:]), *others]


def _headlines(what: str, years: Years, turns: Turns, more: str, wanted: str) -> list[Headline]:
    name = f"{what}, {years.backups:,} backups, {years.segments:,} segments"
    peers = [
        (peer, turns.wall_ratio(peer).text(), turns.cpu_ratio(peer).text()) for peer in turns.peers if peer != _FIRST
    ]
    if not peers:
        return [Headline(name, "", more=more, wanted=wanted)]
    return [Headline(name, *peer, more, wanted) for peer in peers]
