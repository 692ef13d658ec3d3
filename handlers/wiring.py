"""What every handler is given: configuration, ledger, Slack's client, who we are there, the clock, and threads for errands."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from slack_sdk import WebClient

from bot.config import Config
from bot.errors import Usage
from bot.ledger import Ledger, people
from bot.model.ids import ClusterName
from bot.model.people import Policy
from bot.slack.identity import Identity, resolve_channels, who_am_i
from bot.slack.sender import Sender
from handlers.recording import Recorder

ERRANDS = 16


@dataclass(frozen=True)
class Wiring:
    """Everything the handlers need, made once. `errands` carries out what calls Slack or waits, after the acknowledgement.

    `away` says why repositories of a cluster are away, by their names, as they were last looked at.
    """

    config: Config
    ledger: Ledger
    client: WebClient
    identity: Identity
    recorder: Recorder
    now: Callable[[], datetime]
    entropy: Callable[[int], bytes] = secrets.token_bytes
    errands: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(ERRANDS, "errand"))
    away: Callable[[ClusterName], Mapping[str, str]] = lambda _: {}

    def policy(self, cluster: ClusterName) -> Policy | None:
        """Return who may ask and approve for a cluster, or None when it is not configured."""
        known = self.config.clusters.get(cluster)
        return known.policy if known else None

    def zone(self, name: str | None, cluster: str | None = None) -> ZoneInfo:
        """Return the person's time zone, else the cluster's, else UTC."""
        known = self.config.clusters.get(cluster or "")
        for candidate in (name, known.timezone if known else None):
            if candidate and (zone := _zone(candidate)):
                return zone
        return ZoneInfo("UTC")

    def close(self) -> None:
        """End the threads; what was recorded stays in the inbox."""
        self.recorder.close()
        self.errands.shutdown(wait=True, cancel_futures=True)


def wire(config: Config, ledger: Ledger, client: WebClient, away: Callable[[ClusterName], Mapping[str, str]]) -> Wiring:
    """Ask Slack who we are, remember our workspace in the ledger, and return the wiring.

    Raises:
        SlackAnswered: the token is not valid.
        SlackBusy: Slack is away.
    """
    identity = who_am_i(client)

    def clock() -> datetime:
        return datetime.now(UTC)

    with ledger.transaction() as tx:
        people.set_team(tx, identity.team)
    return Wiring(config, ledger, client, identity, Recorder(ledger, clock), clock, away=away)


def build_sender(wiring: Wiring) -> Sender:
    """Resolve the configured channels and return the sender.

    Raises:
        Usage: there is no `[slack]` table, a channel cannot be found, or one is shared with another organisation.
    """
    if wiring.config.slack is None:
        raise Usage("There is no [slack] table in the configuration.", hint="`pitstop check`", code="no-slack")
    found = resolve_channels(wiring.client, wiring.config.slack.channels.model_dump())
    for place, channel in found.items():
        if channel.shared:
            raise Usage(
                f"#{channel.name} ({place}) is shared with another organisation; plans and approvals are not shown there.",
                hint="Name a channel of your own workspace.",
                code="shared-channel",
            )
    channels = {place: channel.id for place, channel in found.items()}
    oncall = wiring.config.slack.oncall or ""
    return Sender(wiring.ledger, wiring.client, channels, wiring.policy, wiring.now, oncall=oncall)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
