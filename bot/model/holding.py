"""Does a plan still hold? What the executor sees just before it starts, compared with what was approved. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.model.destinations import destination_text
from bot.model.plans import Plan, Recovery


@dataclass(frozen=True, slots=True)
class Observed:
    """What is seen before a recovery. `manifests` are hashes by backup id; sizes are bytes.

    `server_version` is of the programs here, 0 where there are none of the plan's major.
    """

    manifests: dict[str, str]
    wal_complete: bool
    disk_free: int
    directory_empty: bool
    port_free: bool
    policy_version: str
    server_version: int


@dataclass(frozen=True, slots=True)
class ObservedServer:
    """What is seen before a restore into the live server. `disk_free` None: its disk cannot be seen from here.

    `system_id` and `server_version` are the live server's. `obstacles` are sentences about the destination: something has
    its name by now, or what it is to be put into is gone.
    """

    manifests: dict[str, str]
    disk_free: int | None
    policy_version: str
    system_id: str
    server_version: int
    obstacles: tuple[str, ...] = ()


def still_holds(plan: Plan, observed: Observed | ObservedServer) -> list[str]:
    """Return what no longer holds, one sentence each; an empty list means the plan may be carried out."""
    specific = _recovery(plan, observed) if isinstance(observed, Observed) else _restoration(plan, observed)
    return [*_chain(plan, observed.manifests), *specific, *_policy(plan, observed.policy_version)]


def _chain(plan: Plan, manifests: Mapping[str, str]) -> Iterator[str]:
    for link in plan.steps.chain:
        found = manifests.get(link.backup)
        if found is None:
            yield f"Backup {link.backup} is no longer in the repository."
        elif found != link.manifest_sha256:
            yield f"Backup {link.backup} is not the one the plan was made for: its manifest changed."


def _recovery(plan: Plan, observed: Observed) -> Iterator[str]:
    going_to = plan.steps.beside
    if not observed.wal_complete:
        yield "The WAL from the backup to the target is no longer complete."
    yield from _disk(plan, observed.disk_free)
    if not observed.directory_empty:
        yield f"{going_to.directory} is not empty any more."
    if not observed.port_free:
        yield f"Port {going_to.port} is in use."
    if observed.server_version // 10000 != plan.facts.server_version // 10000:
        yield f"PostgreSQL {plan.facts.server_version // 10000} is not installed here any more."


def _restoration(plan: Plan, observed: ObservedServer) -> Iterator[str]:
    work = plan.steps.work
    assert not isinstance(work, Recovery)
    if observed.system_id != work.server:
        yield f"The server is another one by now: its system identifier is {observed.system_id}."
    if observed.server_version // 10000 != plan.facts.server_version // 10000:
        yield f"The server is PostgreSQL {observed.server_version // 10000} by now."
    yield from _disk(plan, observed.disk_free)
    yield from observed.obstacles


def _disk(plan: Plan, free: int | None) -> Iterator[str]:
    needed = plan.facts.disk_needed
    if free is not None and free < needed:
        where = destination_text(plan.steps.destination)
        yield f"Too little disk for {where}: {free} bytes free, {needed} needed."


def _policy(plan: Plan, version: str) -> Iterator[str]:
    if version != plan.steps.policy_version:
        yield "The approval policy changed after the plan was made."
