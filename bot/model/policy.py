"""Who may do what: one function for command, button, modal opening and submission, and for the executor's claim.

Everything unknown is a no: an empty list, facts nobody fetched or that are too old, an account that is not a full member here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bot.errors import Refused
from bot.model.destinations import BESIDE_KINDS
from bot.model.people import HOST_TEAM, GroupFacts, Person, PersonFacts, Policy

EVERYONE = "everyone"
UNSURE = frozenset({"facts-stale", "facts-missing", "workspace-unknown", "slack-away"})
"""Refusals that say nothing against the person: asking again with fresh facts may answer differently."""

MAX_AGE = timedelta(seconds=60)
"""How old facts may be when something is decided with them."""


class Action(StrEnum):
    """What somebody wants to do. `SERVER` is extending, stopping or removing a server that a request started.

    Whoever may ask for a recovery may also `BACK_UP`; `ALERT` is acknowledging, snoozing or resolving an alert, which takes
    somebody who may ask or approve.
    """

    ASK = "ask"
    CONFIRM = "confirm"
    APPROVE = "approve"
    DENY = "deny"
    CANCEL = "cancel"
    SERVER = "server"
    BACK_UP = "back-up"
    ALERT = "alert"

    @property
    def decides(self) -> bool:
        """Whether this takes an approver, who is somebody else than the requester."""
        return self in {Action.APPROVE, Action.DENY}


_ASKING = {Action.ASK, Action.CONFIRM, Action.BACK_UP}
"""What takes a requester of the policy; the rest takes an approver."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Which workspace is ours (a team id; None before Slack was ever reached) and which login is whose Slack account.

    `logins` is the configuration's `[people]` table.
    """

    team: str | None = None
    logins: Mapping[str, str] = field(default_factory=dict)

    def human(self, person: Person) -> Person:
        """Return the one name of a human: a linked login becomes its Slack account, anybody else stays who they are."""
        user = self.logins.get(person.user) if person.on_host else None
        return person if user is None or self.team is None else Person(self.team, user)

    def account(self, person: Person) -> str | None:
        """Return the Slack user id behind a person: the configuration's link counts also before Slack was ever reached."""
        return self.logins.get(person.user) if person.on_host else person.user

    def same(self, one: Person, other: Person) -> bool:
        """Say whether two people are one human; a login linked to a Slack user id is that human in our workspace."""
        return self.human(one) == self.human(other) or self._linked(one, other) or self._linked(other, one)

    def _linked(self, login: Person, account: Person) -> bool:
        return login.on_host and not account.on_host and self.logins.get(login.user) == account.user


def authorize(
    policy: Policy,
    action: Action,
    person: Person,
    *,
    facts: PersonFacts | None,
    groups: Mapping[str, GroupFacts],
    requester: Person | None,
    at: datetime,
    identities: Identities,
    slack_away: bool = False,
) -> Refused | None:
    """Return None when `person` may do this, or the refusal to raise, with a stable code. Pure.

    `facts` are those of the human `person` is (`identities.human`), `groups` those the policy names, both as last fetched;
    `requester` is the request's, None for a new one. The steps:

    1. the relation to the requester: only they confirm, only others approve or deny;
    2. the account: ours, known, a full member, and known recently enough;
    3. the list: named by id, through a group, or `everyone`.

    On the host root is the trust boundary: a login may ask, confirm its own, stop and look after servers; it approves only where
    the policy names it (`host:login`) or the Slack account it is linked to by id. While Slack is away, and on the host, an approver
    counts only by id.
    """
    human = identities.human(person)
    own = requester is not None and identities.same(person, requester)
    refusal = _relation(action, own)
    if refusal is None:
        refusal = _account(action, person, human, facts, at, identities, slack_away)
    if refusal is not None:
        return refusal
    if person.on_host and not action.decides:
        return None
    if own and action in {Action.CANCEL, Action.SERVER}:
        return None
    return _listed(policy, action, person, identities, facts, groups, at, slack_away)


def full_member(person: Person, *, facts: PersonFacts | None, at: datetime, identities: Identities) -> Refused | None:
    """Return None when `person` may look at what members of our workspace see, or the refusal to raise. Pure."""
    return _account(Action.ASK, person, identities.human(person), facts, at, identities, slack_away=False)


def required_quorum(policy: Policy, requester: Person, destination_kind: str) -> int:
    """Return how many approvers a request needs: at least one, save on the host for a restore that touches nothing existing."""
    if requester.on_host and destination_kind in BESIDE_KINDS:
        return policy.cli_beside_quorum
    return max(1, policy.quorum)


def group_ids(policy: Policy) -> tuple[str, ...]:
    """Return the ids of the groups the policy names, each once."""
    return tuple(dict.fromkeys(e for e in (*policy.requesters, *policy.approvers) if e.startswith("S")))


def joined(policies: Iterable[Policy]) -> Policy:
    """Return the policy of what concerns every cluster, such as a full disk: whoever is named for one of them counts. Pure."""
    found = list(policies)
    requesters = tuple(dict.fromkeys(entry for policy in found for entry in policy.requesters))
    approvers = tuple(dict.fromkeys(entry for policy in found for entry in policy.approvers))
    return Policy(requesters, approvers, 1, 0, 0, "+".join(policy.version for policy in found))


def approver_people(policy: Policy, groups: Mapping[str, GroupFacts], team: str) -> tuple[Person, ...]:
    """Return the people who can be asked to approve: those named by id and the known members of groups; never `everyone`."""
    named = {Person(team, entry) for entry in policy.approvers if entry[:1] in {"U", "W"}}
    members = {m for entry in policy.approvers if entry in groups for m in groups[entry].members}
    return tuple(sorted(named | members))


def approving_logins(policy: Policy, requester: Person, identities: Identities) -> tuple[str, ...]:
    """Return the logins that could approve on the host without Slack: named as `host:login`, or linked to a person named by id."""
    named = [entry.removeprefix("host:") for entry in policy.approvers if entry.startswith("host:")]
    people = (Person(HOST_TEAM, login) for login in dict.fromkeys((*named, *identities.logins)))
    others = (person for person in people if not identities.same(person, requester))
    return tuple(p.user for p in others if _named(policy.approvers, p, identities.account(p)))


def _relation(action: Action, own: bool) -> Refused | None:
    if action is Action.CONFIRM and not own:
        return Refused(
            "Only the person who asked can confirm this.", hint="Ask for your own with /pitr.", code="not-requester"
        )
    if action.decides and own:
        return Refused(
            "You asked for this yourself; somebody else has to decide.",
            hint="Ask another approver, or cancel it.",
            code="self-approval",
        )
    return None


def _account(
    action: Action,
    person: Person,
    human: Person,
    facts: PersonFacts | None,
    at: datetime,
    identities: Identities,
    slack_away: bool,
) -> Refused | None:
    refusal = _unfit(facts, human) if facts is not None else None
    if refusal is not None or person.on_host:
        return refusal
    refusal = _foreign(person, identities)
    if refusal is not None or (slack_away and action.decides):
        return refusal
    if facts is None:
        return Refused(
            "Slack has not said who you are, so this is not allowed.",
            hint="Try again in a moment.",
            code="facts-missing",
        )
    return None if slack_away or _fresh(facts.fetched_at, at) else _stale()


def _foreign(person: Person, identities: Identities) -> Refused | None:
    if identities.team is None:
        return Refused(
            "Pitstop does not know its own Slack workspace yet, so nobody in Slack may do this.",
            hint="Has `pitstop run` connected to Slack?",
            code="workspace-unknown",
        )
    if person.team != identities.team:
        return Refused(
            "Your account belongs to another workspace.", hint="Ask a full member of this one.", code="other-team"
        )
    return None


def _unfit(facts: PersonFacts, human: Person) -> Refused | None:
    hint = "Ask a full member of this workspace."
    if facts.person != human:
        return Refused("What Slack said is about somebody else.", hint="Try again in a moment.", code="facts-missing")
    if facts.deactivated:
        return Refused("This account is deactivated.", hint=hint, code="deactivated")
    if facts.is_bot:
        return Refused("Bots may not do this.", hint=hint, code="bot")
    if facts.stranger:
        return Refused("Your account belongs to another workspace.", hint=hint, code="stranger")
    if facts.guest:
        return Refused("Guests may not do this.", hint=hint, code="guest")
    return None


def _listed(
    policy: Policy,
    action: Action,
    person: Person,
    identities: Identities,
    facts: PersonFacts | None,
    groups: Mapping[str, GroupFacts],
    at: datetime,
    slack_away: bool,
) -> Refused | None:
    if action is Action.ASK and not policy.approvers:
        return Refused(
            "Nobody is named who could approve this, so it cannot be asked for.",
            hint="Name approvers in the cluster's [approval] table; `pitstop check` shows who may do what.",
            code="no-approvers",
        )
    entries = _entries(policy, action)
    human, account = identities.human(person), identities.account(person)
    if _named(entries, person, account):
        return None
    if action.decides and (slack_away or (person.on_host and (facts is None or not _fresh(facts.fetched_at, at)))):
        return _nobody_but_named(person, account)
    if EVERYONE in entries and facts is not None:
        return None
    candidates = [groups[entry] for entry in entries if entry in groups]
    holding = [group for group in candidates if human in group.members]
    if any(slack_away or _fresh(group.fetched_at, at) for group in holding):
        return None
    unsure = [e for e in entries if e.startswith("S") and (e not in groups or not _fresh(groups[e].fetched_at, at))]
    return _stale() if unsure else _unlisted(action, entries)


def _entries(policy: Policy, action: Action) -> tuple[str, ...]:
    if action is Action.ALERT:
        return (*policy.requesters, *policy.approvers)
    return policy.requesters if action in _ASKING else policy.approvers


def _named(entries: Iterable[str], person: Person, account: str | None) -> bool:
    names = {f"host:{person.user}"} if person.on_host else set()
    if account is not None:
        names.add(account)
    return not names.isdisjoint(entries)


def _nobody_but_named(person: Person, account: str | None) -> Refused:
    if account is None:
        return Refused(
            f"The login “{person.user}” is nobody Pitstop knows, so it may not decide.",
            hint=f'Link it in the configuration: [people] {person.user} = "U…".',
            code="not-linked",
        )
    return Refused(
        "Slack cannot be asked who is in which group, so only approvers named by user id count.",
        hint="Is one of them there, or is Slack back?",
        code="slack-away",
    )


def _unlisted(action: Action, entries: tuple[str, ...]) -> Refused:
    if action is Action.ALERT:
        who = f"Who may: {', '.join(entries)}." if entries else "The configuration names nobody."
        return Refused("You may not do this with alerts.", hint=who, code="not-listed")
    if action in _ASKING:
        who = f"Who may: {', '.join(entries)}." if entries else "The configuration names no requesters."
        return Refused("You may not ask for this.", hint=who, code="not-requester-listed")
    who = f"Approvers: {', '.join(entries)}." if entries else "The configuration names no approvers."
    return Refused("You are not one of the approvers.", hint=who, code="not-approver")


def _stale() -> Refused:
    return Refused(
        "What Slack said about you is more than a minute old, so it does not count.",
        hint="Try again in a moment.",
        code="facts-stale",
    )


def _fresh(fetched_at: datetime, at: datetime) -> bool:
    return abs(at - fetched_at) <= MAX_AGE
