"""What time does: requests expire, approvers are woken, and what only guarded against repetitions is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.desk.change import NO_PEOPLE, PITSTOP, change
from bot.ledger import cards, inbox, keys_seen, modal_tokens, requests
from bot.ledger import people as known
from bot.ledger.database import Ledger, Tx
from bot.model import transitions
from bot.model.ids import ClusterName, RequestId
from bot.model.people import Person, Policy
from bot.model.policy import Identities, approver_people, group_ids
from bot.model.requests import Request

REMEMBERED = timedelta(days=7)
"""How long a call that is repeated still answers the same."""


def sweep(ledger: Ledger, at: datetime) -> list[Request]:
    """Expire every request whose time is up (also those that lapsed while nobody ran); return them. Idempotent."""
    with ledger.read() as tx:
        due = requests.lapsed(tx, at)
    return [request for request_id in due if (request := _expire(ledger, request_id, at)) is not None]


def forget(ledger: Ledger, at: datetime) -> int:
    """Drop what nothing can repeat any more, and return how many rows: keys, handled items of the inbox, tokens of forms.

    Slack delivers again for an hour at most, and the inbox worker what it did not end: the key of an item that is still open
    stays as long as the item does.
    """
    before = at - REMEMBERED
    with ledger.transaction() as tx:
        waiting = inbox.open(tx, limit=1)
        oldest = min([before, *(item.received_at for item in waiting)])
        gone = keys_seen.forget(tx, oldest) + inbox.forget(tx, before)
        return gone + modal_tokens.forget(tx, before)


def wake_due(
    ledger: Ledger,
    at: datetime,
    after: timedelta,
    policies: Mapping[ClusterName, Policy] | None = None,
    people: Mapping[str, str] = NO_PEOPLE,
) -> list[Request]:
    """Wake the approvers of each request PENDING for `after` with no end to it, once; return those requests.

    With `policies` only requests on its clusters, so that clusters may differ in `after`; without, the mention alone.

    Cards wanted: kind `wake`, subject the request's id, at `thread:request:<id>` (the second mention) and, for each approver the
    policy names or a known group holds (never the requester), at `dm:<user>`. They are bumped when the request changes.
    """
    with ledger.transaction() as tx:
        due = [requests.get(tx, request_id) for request_id in requests.unwoken(tx, at - after)]
        chosen = [request for request in due if policies is None or request.cluster in policies]
        return [_wake(tx, request, at, (policies or {}).get(request.cluster), people) for request in chosen]


def _expire(ledger: Ledger, request_id: RequestId, at: datetime) -> Request | None:
    """Expire one request, unless somebody was faster."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        try:
            after = transitions.expire(before, at)
        except transitions.NotLapsed:
            return None
        return change(tx, before, after, verb="expire", actor=PITSTOP, at=at)


def _wake(
    tx: Tx,
    before: Request,
    at: datetime,
    policy: Policy | None,
    people: Mapping[str, str],
) -> Request:
    asked = _asked(tx, before, policy, people)
    detail = {"asked": [person.key for person in asked]}
    after = change(tx, before, transitions.woken(before, at), verb="wake", actor=PITSTOP, at=at, detail=detail)
    cards.want(tx, "wake", before.id, f"thread:request:{before.id}", urgent=True)
    for person in asked:
        cards.want(tx, "wake", before.id, f"dm:{person.user}", urgent=True)
    return after


def _asked(tx: Tx, request: Request, policy: Policy | None, people: Mapping[str, str]) -> list[Person]:
    """Return who can still decide: neither the requester nor anybody who has."""
    team = known.team(tx)
    if policy is None or team is None:
        return []
    identities = Identities(team, people)
    done = {identities.human(decision.by) for decision in request.decisions}
    candidates = approver_people(policy, known.groups(tx, group_ids(policy)), team)
    return [p for p in candidates if p not in done and not identities.same(p, request.requester)]
