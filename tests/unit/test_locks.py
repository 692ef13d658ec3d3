"""Named locks: the table of what conflicts, and that nothing that conflicts is ever held together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.locks import CONFLICTS, SHARED_WITHIN_A_REQUEST, Held, Lock, Mode, blocking, conflict, needed
from bot.model.runs import Job
from tests.unit.desk_world import SLIPS, plan

KINDS = sorted(CONFLICTS)
PATHS = ["slips", "slips/a", "slips/a/b", "slips/ab", "other"]
locks = st.builds(
    lambda kind, path, mode: Lock(f"{kind}:{path}", mode),
    st.sampled_from(KINDS),
    st.sampled_from(PATHS),
    st.sampled_from(list(Mode)),
)

RIVALS = [
    ("cluster:slips", Mode.BASE_BACKUP, "cluster:slips", Mode.BASE_BACKUP),
    ("cluster:slips", Mode.IN_PLACE, "cluster:slips", Mode.BASE_BACKUP),
    ("cluster:slips", Mode.DUMP, "cluster:slips", Mode.DUMP),
    ("cluster:slips", Mode.IN_PLACE, "cluster:slips", Mode.DUMP),
    ("cluster:slips", Mode.STREAM, "cluster:slips", Mode.STREAM),
    ("chain:slips", Mode.DELETE, "chain:slips/20261122T020000Z-base-7f3a", Mode.READ),
    ("destination:/r/one", Mode.USE, "destination:/r/one", Mode.USE),
    ("destination:/r", Mode.USE, "destination:/r/one", Mode.USE),
    ("port:5555", Mode.USE, "port:5555", Mode.USE),
]
NEIGHBOURS = [
    ("cluster:slips", Mode.BASE_BACKUP, "cluster:other", Mode.BASE_BACKUP),
    ("cluster:slips", Mode.STREAM, "cluster:slips", Mode.BASE_BACKUP),
    ("cluster:slips", Mode.DUMP, "cluster:slips", Mode.BASE_BACKUP),
    ("chain:slips/a", Mode.READ, "chain:slips/a", Mode.READ),
    ("destination:/r/one", Mode.USE, "destination:/r/one2", Mode.USE),
    ("port:555", Mode.USE, "port:5555", Mode.USE),
    ("server:r1", Mode.ANSWER, "server:r1", Mode.STOP),
]


@pytest.mark.parametrize(("one", "mode", "other", "other_mode"), RIVALS)
def test_rivals_exclude_each_other(one: str, mode: Mode, other: str, other_mode: Mode) -> None:
    """The pairs the design names never run together."""
    assert conflict(Lock(one, mode), Lock(other, other_mode))


@pytest.mark.parametrize(("one", "mode", "other", "other_mode"), NEIGHBOURS)
def test_neighbours_do_not_disturb(one: str, mode: Mode, other: str, other_mode: Mode) -> None:
    """What only looks alike runs side by side."""
    assert not conflict(Lock(one, mode), Lock(other, other_mode))


@given(one=locks, other=locks)
def test_a_conflict_has_no_direction(one: Lock, other: Lock) -> None:
    """Whoever comes first, the answer is the same."""
    assert conflict(one, other) == conflict(other, one)


@given(st.lists(st.tuples(st.lists(locks, max_size=4), st.sampled_from(["r1", "r2", None])), max_size=12))
def test_nothing_that_conflicts_is_held_together(wishes: list[tuple[list[Lock], str | None]]) -> None:
    """Granting by `blocking`, in any order, never leaves two runs with conflicting locks, but for what one request shares."""
    held: list[Held] = []
    for number, (wanted, name) in enumerate(wishes):
        request = RequestId(name) if name else None
        if blocking(wanted, held, request) is None:
            held += [Held(lock, RunId(str(number)), request) for lock in wanted]
    for mine in held:
        for theirs in held:
            own = (
                mine.request is not None
                and mine.request == theirs.request
                and mine.lock.kind in SHARED_WITHIN_A_REQUEST
            )
            if mine.run != theirs.run and not own:
                assert not conflict(mine.lock, theirs.lock)


def _needed(job: Job, *, request: str | None = None, **args: Any) -> tuple[Lock, ...]:
    made = plan(port=5555) if job is Job.EXECUTE else None
    return needed(job, SLIPS, request=RequestId(request) if request else None, plan=made, args=args)


@pytest.mark.parametrize("job", list(Job))
def test_every_job_names_what_it_needs_in_kinds_the_table_knows(job: Job) -> None:
    """No job runs without a lock, and no lock is of a kind without a row."""
    wanted = _needed(job, request="r1", port=5555, database="slips_before_r1", backup="20261122T020000Z-base-7f3a")
    assert wanted
    assert {lock.kind for lock in wanted} <= set(CONFLICTS)
    assert len({lock.name for lock in wanted}) == len(wanted)


@pytest.mark.parametrize("job", list(Job))
def test_no_job_runs_twice_at_once_for_the_same_thing(job: Job) -> None:
    """The same job for the same request, cluster or backup waits for the first one to end."""
    wanted = _needed(job, request="r1", port=5555, database="slips_before_r1", backup="20261122T020000Z-base-7f3a")
    held = [Held(lock, RunId("first"), RequestId("r1")) for lock in wanted]
    assert blocking(wanted, held, RequestId("r1")) is not None


def test_a_request_shares_its_port_and_folder_with_itself_alone() -> None:
    """The forwarder of a request listens where its executor reserved; nobody else's does."""
    held = [Held(lock, RunId("x"), RequestId("r1")) for lock in _needed(Job.EXECUTE, request="r1")]
    assert blocking(_needed(Job.FORWARD, request="r1", port=5555), held, RequestId("r1")) is None
    assert blocking(_needed(Job.FORWARD, request="r2", port=5555), held, RequestId("r2")) is not None
    assert blocking(_needed(Job.EXECUTE, request="r2"), held, RequestId("r2")) is not None


def test_a_backup_runs_beside_restores_and_streams() -> None:
    """Base backups wait only for base backups of the same cluster."""
    held = [
        Held(lock, RunId(job.value), RequestId("r1"))
        for job in (Job.EXECUTE, Job.WAL_STREAM, Job.WAL_CHECK, Job.FORWARD)
        for lock in _needed(job, request="r1")
    ]
    assert blocking(_needed(Job.BASE_BACKUP), held) is None
    other = needed(Job.BASE_BACKUP, ClusterName("other"), request=None, plan=None, args={})
    assert blocking(other, [Held(x, RunId("b"), None) for x in _needed(Job.BASE_BACKUP)]) is None
