"""Plans: their JSON is what is hashed and read back, and what no longer holds is said of each kind of work."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Usage
from bot.model import transitions
from bot.model.canonical import canonical_json
from bot.model.destinations import Beside, Destination, EmptyTables, InPlace, NewDatabase, NewSchema, destination_text
from bot.model.dumps import Part
from bot.model.holding import ObservedServer, still_holds
from bot.model.hooks import Hooks
from bot.model.ids import BackupId, RequestId, RunId, SystemId
from bot.model.locks import Held, Lock, Mode, blocking, conflict, needed
from bot.model.plans import ChainLink, Facts, Plan, Steps
from bot.model.policy import Identities, required_quorum
from bot.model.requests import Request, State
from bot.model.restores import Restoration, TableName, Undoing, Wanted
from bot.model.runs import Job
from bot.slack.cards.plan import plan_lines, plan_note
from bot.slack.text import moment
from tests.unit.desk_world import ALICE, CAROL, NOON, ROOT, SLIPS, observed, plan, policy

DUMP = BackupId("20261122T023000Z-dump-7f3a")
SOMEWHERE = NewDatabase("slips_new")
words = st.text(min_size=1, max_size=12)
commands = st.lists(st.lists(words, min_size=1, max_size=3).map(tuple), max_size=2).map(tuple)
hooks = st.builds(Hooks, commands, commands, st.integers(1, 99), st.none() | words, st.integers(1, 99), st.booleans())
restorations = st.builds(
    Restoration,
    server=st.just(SystemId("7")),
    database=words,
    archive=st.just("db-0"),
    part=st.sampled_from(Part),
    tables=st.lists(st.builds(TableName, words, words), max_size=4).map(tuple),
    hooks=hooks,
)
destinations = st.one_of(
    st.builds(Beside, words, st.none() | st.integers(1024, 65535)),
    st.builds(NewDatabase, words),
    st.builds(EmptyTables, words),
    st.builds(NewSchema, words, words),
    st.builds(InPlace, words, st.integers(1, 2**32 - 1), words, st.none() | st.integers(1, 2**32 - 1), words),
)


def restore_plan(destination: Destination = SOMEWHERE, **changes: Any) -> Plan:
    """Return a plan for a restore out of a dump."""
    work = Restoration(SystemId("7000000000000000001"), "slips", "db-0")
    fields = {
        "verb": "restore",
        "cluster": SLIPS,
        "system_id": SystemId("7000000000000000001"),
        "repository": "local",
        "chain": (ChainLink(DUMP, "ab" * 32),),
        "work": work,
        "destination": destination,
        "overwrites": (),
        "checks": (),
        "policy_version": "v1",
        **changes,
    }
    return Plan(Steps(**fields), Facts(160002, 1000, 1000, 0, 2000, None, True, None, "", "", rows=12))


def seen(**changes: Any) -> ObservedServer:
    """Return an observation under which `restore_plan()` holds."""
    return replace(ObservedServer({DUMP: "ab" * 32}, None, "v1", "7000000000000000001", 160002), **changes)


@given(
    work=restorations | st.builds(Undoing, st.just(SystemId("7")), words.map(RequestId), hooks),
    destination=destinations,
)
def test_steps_come_back_from_their_json_with_the_same_hash(
    work: Restoration | Undoing, destination: Destination
) -> None:
    """What is stored and approved is what the executor reads."""
    made = restore_plan(destination, work=work)
    back = Steps.from_json(json.loads(canonical_json(made.steps.as_json())))
    assert back == made.steps
    assert Plan(back, made.facts).steps_hash == made.steps_hash


def test_the_json_of_a_recovery_is_what_it_always_was() -> None:
    """Requests approved before restores of dumps existed keep their hash."""
    steps = plan(port=5555).steps.as_json()
    assert set(steps) == {
        "format", "verb", "cluster", "system_id", "repository", "chain", "target", "destination", "overwrites", "checks",
        "policy_version", "lifetime_s",
    }  # fmt: skip
    assert steps["destination"] == {"kind": "beside", "directory": "/restores/one", "port": 5555}
    assert plan(port=5555).steps_hash == "9b8962b54216baf47a270f6589ab6172ebedc61393c199ac6ffeb18503f0cbaa"


@given(destination=destinations)
def test_every_destination_says_where_it_is(destination: Destination) -> None:
    """Sentences name the folder, the database or the schema."""
    text = destination_text(destination)
    named = destination.directory if isinstance(destination, Beside) else destination.database
    assert named in text


def test_a_plan_that_nothing_changed_holds() -> None:
    """Both kinds of work go through when all is as planned."""
    assert still_holds(plan(), observed()) == []
    assert still_holds(restore_plan(), seen()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"manifests": {}}, "no longer in the repository"),
        ({"manifests": {DUMP: "cd" * 32}}, "not the one the plan was made for"),
        ({"system_id": "7000000000000000009"}, "another one by now"),
        ({"server_version": 170001}, "PostgreSQL 17 by now"),
        ({"disk_free": 1999}, "Too little disk for the new database slips_new"),
        ({"policy_version": "v2"}, "policy changed"),
        ({"obstacles": ("There is a database slips_new by now.",)}, "slips_new by now"),
    ],
)
def test_what_no_longer_holds_of_a_restore_is_said(changes: dict[str, Any], words: str) -> None:
    """Each thing a restore stands on makes its plan void alone."""
    (sentence,) = still_holds(restore_plan(), seen(**changes))
    assert words in sentence


def _locks(destination: Destination) -> tuple[Lock, ...]:
    return needed(Job.EXECUTE, SLIPS, request=RequestId("r1"), plan=restore_plan(destination), args={})


def test_restores_exclude_each_other_where_they_would_make_the_same() -> None:
    """The same database, a schema in it or rows for it wait; another one, or one whose name only looks like a path, does not."""
    database, schema = _locks(NewDatabase("a")), _locks(NewSchema("a", "s"))
    assert Lock(f"chain:{SLIPS}/{DUMP}", Mode.READ) in database

    def meet(one: tuple[Lock, ...], other: tuple[Lock, ...]) -> bool:
        kept = [lock for lock in one if lock.kind == "database"]
        return any(conflict(mine, theirs) for mine in kept for theirs in other)

    assert meet(database, database)
    assert meet(database, schema)
    assert meet(database, _locks(EmptyTables("a")))
    assert not meet(schema, _locks(NewSchema("a", "s2")))
    assert not meet(database, _locks(NewDatabase("a/s")))


def test_a_verb_leads_only_where_it_may() -> None:
    """A recovery does not go into a database, and a restore not where no destination of that kind is."""

    def ask(verb: str, kind: str) -> None:
        transitions.ask(
            id=RequestId("r1"), verb=verb, cluster=SLIPS, requester=ALICE, requester_name="Alice", target=Wanted(),
            target_text="latest", destination={"kind": kind}, reason="", policy=policy(), run=RunId("x"), at=NOON,
        )  # fmt: skip

    ask("restore", "database")
    for verb, kind in (("pitr", "database"), ("restore", "nowhere"), ("drop", "beside")):
        with pytest.raises(Usage):
            ask(verb, kind)


@given(
    wanted=st.builds(Wanted, words, st.none() | words, st.sampled_from(Part), st.lists(words, max_size=3).map(tuple))
)
def test_what_is_wanted_comes_back_from_its_json(wanted: Wanted) -> None:
    """The ledger keeps what was asked for."""
    assert Wanted.from_json(json.loads(json.dumps(wanted.as_json()))) == wanted


IN_PLACE = InPlace("slips", 5, "pitstop_restoring_r1", None, "slips_before_r1")


def test_a_restore_in_place_has_the_cluster_to_itself() -> None:
    """No backup, dump, WAL check or other swap of the cluster runs beside it, and nobody drops or makes what it renames."""
    held = [Held(lock, RunId("swap"), RequestId("r1")) for lock in _locks(IN_PLACE)]
    for job in (Job.BASE_BACKUP, Job.DUMP, Job.WAL_CHECK):
        assert blocking(needed(job, SLIPS, request=None, plan=None, args={}), held) is not None, job
    assert blocking(needed(Job.WAL_STREAM, SLIPS, request=None, plan=None, args={}), held) is None
    for other in (IN_PLACE, InPlace("other", 6, "x", 7, "y"), NewDatabase("slips_before_r1"), NewSchema("slips", "s")):
        wanted = needed(Job.EXECUTE, SLIPS, request=RequestId("r2"), plan=restore_plan(other), args={})
        assert blocking(wanted, held, RequestId("r2")) is not None, other
    dropped = needed(Job.KEPT_REMOVE, SLIPS, request=RequestId("r0"), plan=None, args={"database": "slips_before_r1"})
    assert blocking(dropped, held, RequestId("r0")) is not None


def test_approving_in_place_takes_the_name_of_the_cluster() -> None:
    """Without it, or with another's, nobody has approved; beside, nothing needs to be typed."""
    request = replace(_proposed(), state=State.PENDING, quorum=1, plan=restore_plan(IN_PLACE))
    for typed in ("", "other", "SLIPS", "slips x"):
        with pytest.raises(Usage) as refused:
            _approve(request, typed)
        assert refused.value.reason_code == "cluster-not-typed"
    assert _approve(request, " slips ").state is State.APPROVED
    assert _approve(replace(request, plan=restore_plan()), "").state is State.APPROVED


def test_in_place_always_takes_a_second_person() -> None:
    """From the host too, whatever the quorum of restores beside is."""
    request = replace(_proposed(), requester=ROOT, quorum=0, plan=restore_plan(IN_PLACE))
    assert transitions.needed_approvals(request) == 1
    assert required_quorum(policy(quorum=0, cli_beside_quorum=0), ROOT, "in-place") == 1


def _proposed() -> Request:
    made = transitions.ask(
        id=RequestId("r1"), verb="restore", cluster=SLIPS, requester=ALICE, requester_name="Alice", target=Wanted(),
        target_text="x", destination={"kind": "database", "database": "d"}, reason="why", policy=policy(),
        run=RunId("run"), at=NOON,
    )  # fmt: skip
    return replace(made, state=State.PROPOSED, plan=restore_plan())


def _approve(request: Request, typed: str) -> Request:
    return transitions.approve(
        request, by=CAROL, name="Carol", policy=policy(), identities=Identities("T1"), at=NOON, typed=typed
    )


def test_what_is_shown_is_told_as_of_the_plan_and_changes_no_hash() -> None:
    """A card read long after the plan says when its facts were true; they are no part of what is approved."""
    bare = plan()
    bare = Plan(bare.steps, replace(bare.facts, estimate_s=None, basis="no recovery of this cluster was timed yet"))
    facts = replace(bare.facts, made_at=NOON, warnings=("No drill has proved this dump yet.",))
    made = Plan(bare.steps, facts)
    assert made.steps_hash == bare.steps_hash
    assert Facts.from_json(json.loads(json.dumps(facts.as_json()))) == facts
    shown = plan_lines(made)
    assert shown[-2:] == [f"*When the plan was made*, {moment(NOON)}:", "⚠️ No drill has proved this dump yet."]
    assert "*Takes* not known when the plan was made, no recovery of this cluster was timed yet" in shown
    assert f"made {moment(NOON)}" in plan_note(made)
    assert not [line for line in plan_lines(bare) if line.startswith("*When the plan")]
