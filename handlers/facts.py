"""What a verb is told: facts about the person fetched just now, and refusals that are noted in the audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot import desk
from bot.errors import PitstopError, Refused, Usage
from bot.ledger import cards, catalogue, inbox, people
from bot.model.backups import BackupSummary
from bot.model.callers import Caller
from bot.model.commands import example_cluster
from bot.model.ids import BackupId, ClusterName
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import UNSURE, Identities, full_member, group_ids
from bot.model.typed import nearest
from bot.slack.client import SlackBusy
from bot.slack.people import fetch
from handlers.payloads import Doer
from handlers.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Facts:
    """What Slack just said about the person and the groups a policy names."""

    person: PersonFacts | None
    groups: Mapping[str, GroupFacts]


def explained(wiring: Wiring, doer: Doer, error: PitstopError) -> PitstopError:
    """Return a refusal that only says that nobody knew enough with Slack's own word, such as the scope the token lacks."""
    if error.reason_code not in UNSURE:
        return error
    groups = {group for cluster in wiring.config.clusters.values() for group in group_ids(cluster.policy)}
    fetched = fetch(wiring.client, people=[doer.who], groups=groups, team=wiring.identity.team, at=wiring.now())
    if not fetched.refused:
        return error
    word = fetched.refused[0]
    return Refused(f"Nobody can tell whether you may do this. {word.message}", hint=word.hint, code=error.reason_code)


def fetch_facts(wiring: Wiring, person: Person, policies: list[Policy]) -> Facts:
    """Ask Slack about a person and the groups of policies, now.

    Raises:
        SlackBusy: it could not be asked.
    """
    at = wiring.now()
    groups = {group for policy in policies for group in group_ids(policy)}
    fetched = fetch(wiring.client, people=[person], groups=groups, team=wiring.identity.team, at=at)
    if fetched.away and fetched.people.get(person) is None:
        raise SlackBusy("Slack could not be asked who you are.")
    return Facts(fetched.people.get(person), fetched.groups)


def require_member(wiring: Wiring, doer: Doer, action: str) -> None:
    """Make sure that somebody who only looks is a full member of our workspace; guests and other companies see no backups.

    Raises:
        Refused: they are not; the attempt is audited. SlackBusy: Slack could not be asked.
    """
    facts = fetch_facts(wiring, doer.who, []).person
    identities = Identities(wiring.identity.team, wiring.config.people)
    refusal = full_member(doer.who, facts=facts, at=wiring.now(), identities=identities)
    if refusal is not None:
        note(wiring, doer, action, "", refusal)
        raise refusal


def caller_on(wiring: Wiring, item: inbox.Item, doer: Doer, cluster: ClusterName) -> Caller:
    """Return who calls a verb about a cluster. Raises like `caller_of`, and Usage where it is not configured (any more)."""
    return caller_of(wiring, item, doer, wiring.config.cluster(cluster).policy)


def caller_of(wiring: Wiring, item: inbox.Item, doer: Doer, policy: Policy) -> Caller:
    """Return who calls a verb by an item of the inbox, with facts fetched now. Raises like `fetch_facts`."""
    facts = fetch_facts(wiring, doer.who, [policy])
    return Caller(
        by=doer.who,
        policy=policy,
        key=item.key,
        at=wiring.now(),
        entropy=wiring.entropy(16),
        name=facts.person.name if facts.person else doer.name,
        facts=facts.person,
        groups=facts.groups,
        logins=wiring.config.people,
        token=item.payload.get("token"),
    )


def known_backup(wiring: Wiring, backup: BackupId) -> BackupSummary:
    """Return the summary of a backup of ours; its id alone tells the cluster.

    Raises:
        Usage: `unknown-backup`, with the nearest id.
    """
    ours = wiring.config.clusters
    with wiring.ledger.read() as tx:
        found = catalogue.locate(tx, backup)
        if found is not None and found.cluster in ours:
            return found
        near = nearest(backup, [one.id for name in ours for one in catalogue.list(tx, ClusterName(name))])
    raise Usage(
        f"There is no backup {backup}.",
        hint=f"Did you mean `{near}`?" if near else f"`/backup list {example_cluster(ours)}` shows those there are.",
        code="unknown-backup",
    )


def card_shows(wiring: Wiring, doer: Doer, subject: str, *, kinds: tuple[str, ...] = ("request", "server")) -> None:
    """Make sure that what was pressed is on the very message the ledger has for this subject.

    Raises:
        Refused: it is not; the attempt is audited.
    """
    with wiring.ledger.read() as tx:
        card = cards.shown_at(tx, doer.channel, doer.ts)
    if card is None or card.subject_kind not in kinds or card.subject != subject:
        error = Refused(
            f"This button is not on a card of that {kinds[0]}.", hint="Look for its current card.", code="foreign-card"
        )
        note(wiring, doer, "click", subject, error)
        raise error


def note(wiring: Wiring, doer: Doer, action: str, subject: str, error: PitstopError) -> None:
    """Audit an attempt that was refused before any verb of the desk was called."""
    desk.note_attempt(wiring.ledger, wiring.now(), doer.person, action, subject[:200], error)


def known_zone(wiring: Wiring, person: Person) -> str | None:
    """Return the time zone the ledger has for a person; used where nothing may be fetched (inside an acknowledgement)."""
    with wiring.ledger.read() as tx:
        facts = people.get(tx, person)
    return facts.timezone if facts else None
