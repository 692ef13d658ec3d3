"""authorize(): who may do what, and that everything unknown is a no."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import (
    Action,
    Identities,
    approver_people,
    approving_logins,
    authorize,
    group_ids,
    required_quorum,
)
from tests.unit.desk_world import (
    ALICE,
    BOB,
    CAROL,
    DAN,
    GROUP,
    GUEST,
    NOON,
    ROOT,
    STRANGER,
    TEAM,
    facts,
    group,
    policy,
)

LINKED = {"alice": "UALICE", "carol": "UCAROL"}
HOST_CAROL = Person("host", "carol")
_FRESH = object()


def code(
    action: Action,
    person: Person,
    *,
    under: Policy | None = None,
    known: object = _FRESH,
    groups: Mapping[str, GroupFacts] | None = None,
    requester: Person | None = ALICE,
    at: datetime = NOON,
    team: str | None = TEAM,
    away: bool = False,
) -> str | None:
    """Return the code of the refusal, or None when it is allowed."""
    identities = Identities(team, LINKED)
    human = identities.human(person)
    if known is _FRESH:
        known = None if human.on_host else facts(human)
    assert known is None or isinstance(known, PersonFacts)
    refusal = authorize(
        under or policy(),
        action,
        person,
        facts=known,
        groups=groups or {},
        requester=requester,
        at=at,
        identities=identities,
        slack_away=away,
    )
    if refusal is not None:
        assert refusal.message.endswith(".")
        assert refusal.hint
    return refusal.reason_code if refusal else None


def test_the_ordinary_case() -> None:
    """A full member asks, a named approver decides."""
    assert code(Action.ASK, ALICE, requester=None) is None
    assert code(Action.CONFIRM, ALICE) is None
    assert code(Action.APPROVE, CAROL) is None
    assert code(Action.DENY, DAN) is None
    assert code(Action.APPROVE, BOB) == "not-approver"


@pytest.mark.parametrize("action", list(Action))
def test_an_empty_policy_means_nobody_in_slack(action: Action) -> None:
    """Without lists nobody in Slack may begin or decide anything; only the requester still stops their own."""
    empty = policy(requesters=(), approvers=())
    assert code(action, CAROL, under=empty) is not None
    assert code(Action.ASK, ALICE, under=empty, requester=None) == "no-approvers"
    assert code(Action.ASK, ALICE, under=policy(requesters=()), requester=None) == "not-requester-listed"


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize(
    ("flag", "expected"),
    [("guest", "guest"), ("stranger", "stranger"), ("is_bot", "bot"), ("deactivated", "deactivated")],
)
@pytest.mark.parametrize("named", [False, True])
def test_accounts_that_are_not_full_members_are_refused_everything(
    action: Action, flag: str, expected: str, named: bool
) -> None:
    """Guests, strangers, bots and deactivated accounts may do nothing, even named by id, even on their own request."""
    entries = ("everyone", "UGUEST") if named else ("everyone",)
    lists = policy(requesters=entries, approvers=entries)
    requester = GUEST if action in {Action.CONFIRM, Action.CANCEL, Action.SERVER} else ALICE
    assert code(action, GUEST, under=lists, known=facts(GUEST, **{flag: True}), requester=requester) == expected
    assert (
        code(action, GUEST, under=lists, known=facts(GUEST, **{flag: True}), requester=requester, away=True) == expected
    )


def test_other_workspaces_are_refused() -> None:
    """The same user id in another team is somebody else; without a known workspace nobody in Slack is ours."""
    twin = Person("T2", "UCAROL")
    assert code(Action.APPROVE, twin) == "other-team"
    assert code(Action.ASK, STRANGER, requester=None) == "other-team"
    assert code(Action.APPROVE, twin, away=True) == "other-team"
    assert code(Action.APPROVE, CAROL, team=None) == "workspace-unknown"
    assert code(Action.ASK, ALICE, team=None, requester=None) == "workspace-unknown"


@pytest.mark.parametrize("action", list(Action))
def test_nobody_decides_on_old_or_missing_facts(action: Action) -> None:
    """Facts nobody fetched, that are about somebody else, or that are older than a minute refuse everything."""
    person = CAROL if action.decides else ALICE
    stale = facts(person, NOON - timedelta(seconds=61))
    assert code(action, person, known=stale) == "facts-stale"
    assert code(action, person, known=None) == "facts-missing"
    assert code(action, person, known=facts(BOB)) == "facts-missing"
    assert code(action, person, known=facts(person, NOON - timedelta(seconds=60))) is None


def test_nobody_decides_on_their_own_request() -> None:
    """Requester and approver are two humans: the same account, and the same human under a linked login, are refused."""
    lists = policy(approvers=("UALICE", "UCAROL", "everyone"))
    for action in (Action.APPROVE, Action.DENY):
        assert code(action, ALICE, under=lists) == "self-approval"
        assert code(action, Person("host", "alice"), under=lists) == "self-approval"
        assert code(action, CAROL, under=lists, requester=HOST_CAROL) == "self-approval"
        assert code(action, CAROL, under=lists, requester=HOST_CAROL, team=None) == "self-approval"


def test_only_the_requester_confirms() -> None:
    """Somebody else cannot send the plan; the requester's linked login can."""
    assert code(Action.CONFIRM, BOB) == "not-requester"
    assert code(Action.CONFIRM, Person("host", "alice")) is None


@pytest.mark.parametrize("action", [Action.CANCEL, Action.SERVER])
def test_who_stops_and_looks_after_servers(action: Action) -> None:
    """The requester, an approver or a login on the host; nobody else."""
    assert code(action, ALICE) is None
    assert code(action, CAROL) is None
    assert code(action, ROOT) is None
    assert code(action, BOB) == "not-approver"


def test_groups_count_by_id_and_fresh_members() -> None:
    """A member of a fresh group approves; an old or unknown group says nothing; a group without the person says no."""
    lists = policy(approvers=(GROUP,))
    assert code(Action.APPROVE, CAROL, under=lists, groups={GROUP: group(CAROL)}) is None
    old = group(CAROL, at=NOON - timedelta(seconds=61))
    assert code(Action.APPROVE, CAROL, under=lists, groups={GROUP: old}) == "facts-stale"
    assert code(Action.APPROVE, CAROL, under=lists) == "facts-stale"
    assert code(Action.APPROVE, BOB, under=lists, groups={GROUP: group(CAROL)}) == "not-approver"
    assert code(Action.APPROVE, CAROL, under=lists, groups={GROUP: group(Person("T2", "UCAROL"))}) == "not-approver"


def test_with_slack_away_only_approvers_named_by_id_count() -> None:
    """Named by user id is enough then, whatever the age of facts; groups and `everyone` are not."""
    old = facts(CAROL, NOON - timedelta(days=3))
    assert code(Action.APPROVE, CAROL, known=old, away=True) is None
    assert code(Action.APPROVE, CAROL, known=None, away=True) is None
    by_group = policy(approvers=(GROUP, "everyone"))
    assert code(Action.APPROVE, CAROL, under=by_group, groups={GROUP: group(CAROL)}, away=True) == "slack-away"
    assert code(Action.ASK, ALICE, known=facts(ALICE, NOON - timedelta(days=3)), requester=None, away=True) is None
    assert code(Action.ASK, ALICE, known=None, requester=None, away=True) == "facts-missing"


def test_logins_on_the_host_ask_and_approve_only_when_named() -> None:
    """A login may ask; it approves as the Slack account it is linked to, named by id, or as `host:login`."""
    assert code(Action.ASK, ROOT, requester=None) is None
    assert code(Action.ASK, ROOT, requester=None, under=policy(requesters=(), approvers=())) is None
    assert code(Action.APPROVE, ROOT) == "not-linked"
    assert code(Action.APPROVE, ROOT, under=policy(approvers=("everyone",))) == "not-linked"
    assert code(Action.APPROVE, HOST_CAROL) is None
    assert code(Action.APPROVE, HOST_CAROL, known=None) is None
    assert code(Action.APPROVE, ROOT, under=policy(approvers=("host:root",))) is None
    assert code(Action.APPROVE, HOST_CAROL, known=facts(CAROL, deactivated=True)) == "deactivated"
    assert code(Action.APPROVE, HOST_CAROL, under=policy(approvers=("everyone",)), known=None) == "slack-away"


def test_a_linked_login_counts_through_a_group_only_while_facts_are_fresh() -> None:
    """On the host a group counts when both the person and the group were just fetched."""
    lists, members = policy(approvers=(GROUP,)), {GROUP: group(CAROL)}
    assert code(Action.APPROVE, HOST_CAROL, under=lists, groups=members) is None
    assert code(Action.APPROVE, HOST_CAROL, under=lists, groups=members, known=None) == "slack-away"


def test_a_user_named_like_a_login_is_not_that_login() -> None:
    """`host:carol` names a login; a Slack account whose id reads the same is not named by it, nor the reverse."""
    assert code(Action.APPROVE, Person(TEAM, "carol"), under=policy(approvers=("host:carol",))) == "not-approver"
    assert code(Action.APPROVE, Person("host", "UCAROL")) == "not-linked"


def test_quorum_by_origin() -> None:
    """Slack needs at least one approver; beside from the host needs what the policy says; elsewhere the host is like Slack."""
    assert required_quorum(policy(quorum=0), ALICE, "beside") == 1
    assert required_quorum(policy(quorum=2), ALICE, "beside") == 2
    assert required_quorum(policy(quorum=2), ROOT, "beside") == 0
    assert required_quorum(policy(cli_beside_quorum=1), ROOT, "beside") == 1
    assert required_quorum(policy(quorum=0), ROOT, "in-place") == 1
    assert required_quorum(policy(quorum=0), ALICE, "in-place") == 1


def test_who_can_be_woken() -> None:
    """Approvers named by id and known members of groups are people one can ask; `everyone` is not."""
    lists = policy(approvers=("UCAROL", GROUP, "everyone", "S0OTHER"))
    assert approver_people(lists, {GROUP: group(DAN, CAROL)}, TEAM) == (CAROL, DAN)
    assert group_ids(lists) == (GROUP, "S0OTHER")


@given(
    action=st.sampled_from(list(Action)),
    entries=st.lists(st.sampled_from(["everyone", "UCAROL", GROUP, "host:root", "USOMEBODY"]), max_size=4),
    age_s=st.integers(-300, 300),
    flags=st.sets(st.sampled_from(["guest", "stranger", "is_bot", "deactivated"])),
    team=st.sampled_from([TEAM, "T2", None]),
    away=st.booleans(),
    in_group=st.booleans(),
)
def test_a_yes_always_has_a_ground(
    action: Action,
    entries: list[str],
    age_s: int,
    flags: set[str],
    team: str | None,
    away: bool,
    in_group: bool,
) -> None:
    """Whatever is combined, whoever is allowed something is ours, fit, and listed by facts that are fresh."""
    at = NOON + timedelta(seconds=age_s)
    refusal = authorize(
        policy(requesters=tuple(entries), approvers=tuple(entries)),
        action,
        CAROL,
        facts=facts(CAROL, **dict.fromkeys(flags, True)),
        groups={GROUP: group(*([CAROL] if in_group else []))},
        requester=ALICE,
        at=at,
        identities=Identities(team, LINKED),
        slack_away=away,
    )
    if refusal is None:
        fresh = abs(age_s) <= 60
        assert team == TEAM
        assert not flags
        assert action is not Action.CONFIRM
        by_list = "everyone" in entries or (GROUP in entries and in_group)
        assert "UCAROL" in entries or (by_list and (fresh or away))
        assert fresh or away
        if action.decides and away:
            assert "UCAROL" in entries


def test_a_linked_login_counts_before_slack_was_ever_reached() -> None:
    """`[people]` names the account: where that id is an approver, the login is, whether or not the workspace is known yet."""
    policy = Policy(("everyone",), ("U0DBA",), 1, 1800, 600, "v")
    at = datetime.fromisoformat("2026-11-24T10:00:00+00:00")
    logins = {"dana": "U0DBA", "eve": "U0OTHER"}

    def refusal(login: str) -> str | None:
        refused = authorize(
            policy, Action.APPROVE, Person("host", login), facts=None, groups={}, requester=Person("host", "root"),
            at=at, identities=Identities(None, logins), slack_away=True,
        )  # fmt: skip
        return refused.reason_code if refused else None

    assert refusal("dana") is None
    assert refusal("eve") == "slack-away"
    assert refusal("nobody-listed") == "not-linked"


def test_which_logins_could_approve_without_slack() -> None:
    """Those named, and those linked to somebody named by id; never the requester, under either name, nor through a group."""
    under = policy(approvers=("UALICE", "UCAROL", "host:root", GROUP))
    known = Identities(TEAM, {**LINKED, "dan": "UDAN"})
    assert approving_logins(under, Person("host", "dan"), known) == ("root", "alice", "carol")
    assert approving_logins(under, ROOT, known) == ("alice", "carol")
    assert approving_logins(under, CAROL, known) == ("root", "alice")
    assert approving_logins(policy(approvers=()), ROOT, known) == ()
