"""Alerts: what needs somebody, one per condition, from its first sight to its end and back. Pure.

What was seen just now is a `Concern`; what became of it is an `Alert`:

    OPEN ─acknowledge▶ ACKNOWLEDGED        seen no more ─▶ RESOLVED ─seen again▶ OPEN (the same alert, its next episode)
         ─snooze─────▶ SNOOZED ─its time is up▶ OPEN
    ACKNOWLEDGED, SNOOZED ─it got worse, or is another occurrence▶ OPEN
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.errors import Conflict, Usage
from bot.model.ids import AlertId

LONGEST_SNOOZE = timedelta(days=7)
RESTATED = timedelta(minutes=10)
"""How often at most an alert is written anew because its numbers moved."""


class Severity(StrEnum):
    """How much it matters: `page` wakes somebody, `warn` is looked at today, `info` is worth knowing."""

    INFO = "info"
    WARN = "warn"
    PAGE = "page"

    @property
    def rank(self) -> int:
        """Its place in the order of severities, 0 the least."""
        return list(Severity).index(self)


class AlertState(StrEnum):
    """Where an alert stands. `acknowledged`: somebody has it; `snoozed`: somebody wants to hear of it later."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


CONDITIONS: Mapping[str, str] = {
    "backup-age": "The last backup is too old",
    "backup-damaged": "The last backup is damaged",
    "backup-size": "A backup has a strange size",
    "row-counts": "A table lost many rows",
    "run-failed": "A job failed",
    "schedule-missed": "A scheduled job did not run",
    "receiver-down": "No WAL is being received",
    "wal-lag": "WAL is not durable",
    "wal-gap": "WAL is missing",
    "slot": "A replication slot is in danger",
    "server-down": "PostgreSQL does not answer",
    "repository-away": "A repository cannot be used",
    "key-age": "A data key should be rotated",
    "disk": "A disk is filling up",
    "copy-late": "A repository lacks backups that another one holds",
    "drill-age": "The last drill is too long ago",
    "drill-rate": "Drills fail too often",
    "rto": "Restores take too long",
    "undelivered": "Slack did not take a message",
    "fallback": "The fallback did not take a message",
}
"""Every condition by its word, with the headline of its card; docs/alerts.md explains each."""


@dataclass(frozen=True, slots=True)
class Concern:
    """One condition that holds now. `cluster` is empty for what concerns the whole host; `subject` tells siblings apart.

    `sentence` says what is wrong, `fix` what to do next. `occurrence` names one event of the past (a run's id): acknowledged
    or resolved by hand it stays so until another one happens. A condition without one lasts until its cause is gone.
    """

    condition: str
    cluster: str
    subject: str
    severity: Severity
    sentence: str
    fix: str = ""
    occurrence: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same condition when it is seen again."""
        return (self.condition, self.cluster, self.subject)


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition as the ledger keeps it; times are aware UTC.

    `episode` counts how often it was opened, `calls` how often people were called in this episode (once when it opened, and
    again for each worsening). `by` is who acknowledged, snoozed or resolved it by hand. `worst` is the worst severity of
    this episode.
    """

    id: AlertId
    concern: Concern
    state: AlertState
    version: int
    opened_at: datetime
    changed_at: datetime
    episode: int = 1
    calls: int = 1
    worst: Severity = Severity.INFO
    by: str = ""
    snoozed_until: datetime | None = None
    resolved_at: datetime | None = None

    @property
    def title(self) -> str:
        """Its headline, without the cluster."""
        return CONDITIONS.get(self.concern.condition, self.concern.condition)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a look could judge: a condition it saw nothing of is over only where it would have seen it.

    `conditions` are (condition, cluster; empty for the host), judged whatever their subject; `keys` single ones.
    """

    conditions: frozenset[tuple[str, str]] = frozenset()
    keys: frozenset[tuple[str, str, str]] = frozenset()

    def covers(self, concern: Concern) -> bool:
        """Say whether a condition would have been seen, did it still hold."""
        return (concern.condition, concern.cluster) in self.conditions or concern.key in self.keys


def opened(alert_id: AlertId, concern: Concern, at: datetime) -> Alert:
    """Return the alert of a condition seen for the first time."""
    return Alert(alert_id, concern, AlertState.OPEN, 1, at, at, worst=concern.severity)


def seen(alert: Alert, concern: Concern, at: datetime) -> Alert:
    """Return the alert after its condition was seen (again); the very same when nothing changed.

    It opens again when it was over, when it is another occurrence, when its snooze is up, and when it got worse than anything
    that was acknowledged.
    """
    another = concern.occurrence != alert.concern.occurrence
    settled = alert.state is AlertState.RESOLVED and bool(concern.occurrence) and not another
    worse = concern.severity.rank > alert.worst.rank
    if settled and not worse:
        return alert
    if alert.state is AlertState.RESOLVED:
        return _next(
            alert,
            at,
            concern=concern,
            state=AlertState.OPEN,
            opened_at=at,
            episode=alert.episode + 1,
            calls=1,
            worst=concern.severity,
            by="",
            snoozed_until=None,
            resolved_at=None,
        )
    lapsed = alert.state is AlertState.SNOOZED and alert.snoozed_until is not None and alert.snoozed_until <= at
    covered = alert.state in {AlertState.ACKNOWLEDGED, AlertState.SNOOZED}
    if worse or (covered and (lapsed or another)):
        worst = max(alert.worst, concern.severity, key=lambda severity: severity.rank)
        return _next(
            alert,
            at,
            concern=concern,
            state=AlertState.OPEN,
            calls=alert.calls + 1,
            worst=worst,
            by="",
            snoozed_until=None,
        )
    told_otherwise = replace(concern, sentence=alert.concern.sentence, fix=alert.concern.fix) == alert.concern
    if concern == alert.concern or (told_otherwise and at - alert.changed_at < RESTATED):
        return alert
    return _next(alert, at, concern=concern)


def over(alert: Alert, at: datetime) -> Alert:
    """Return the alert after its condition was not seen any more."""
    if alert.state is AlertState.RESOLVED:
        # What was resolved by hand is gone for good now: the same occurrence seen again would be news.
        return _next(alert, at, concern=_forgotten(alert)) if alert.concern.occurrence else alert
    return _next(
        alert, at, concern=_forgotten(alert), state=AlertState.RESOLVED, resolved_at=at, snoozed_until=None, by=""
    )


def lapse(alert: Alert, at: datetime) -> Alert:
    """Open an alert whose snooze is up, also while nobody looks whether it still holds."""
    return seen(alert, alert.concern, at) if alert.state is AlertState.SNOOZED else alert


def acknowledge(alert: Alert, by: str, at: datetime) -> Alert:
    """Somebody has it: no more calls, unless it gets worse. Again by anybody changes nothing.

    Raises:
        Conflict: it is over.
    """
    _unresolved(alert)
    if alert.state is AlertState.ACKNOWLEDGED:
        return alert
    return _next(alert, at, state=AlertState.ACKNOWLEDGED, by=by, snoozed_until=None)


def snooze(alert: Alert, by: str, until: datetime, at: datetime) -> Alert:
    """Let it rest until a time; it opens again if it still holds then, or gets worse before.

    Raises:
        Conflict: it is over. Usage: `until` is not within the next seven days.
    """
    _unresolved(alert)
    if not at < until <= at + LONGEST_SNOOZE:
        raise Usage("An alert can be snoozed for up to 7 days.", hint="How long, like 1h or 24h?", code="snooze")
    return _next(alert, at, state=AlertState.SNOOZED, by=by, snoozed_until=until)


def resolve(alert: Alert, by: str, at: datetime) -> Alert:
    """Say that it is settled. An event of the past stays so; a condition that still holds opens again at the next look.

    Raises:
        Conflict: it is over already.
    """
    _unresolved(alert)
    return _next(alert, at, state=AlertState.RESOLVED, by=by, resolved_at=at, snoozed_until=None)


def of_concerns(concerns: Iterable[Concern]) -> dict[tuple[str, str, str], Concern]:
    """Return concerns by their key; of several about one condition the most severe."""
    found: dict[tuple[str, str, str], Concern] = {}
    for concern in concerns:
        known = found.get(concern.key)
        if known is None or concern.severity.rank > known.severity.rank:
            found[concern.key] = concern
    return found


def _next(alert: Alert, at: datetime, **changes: object) -> Alert:
    return replace(alert, version=alert.version + 1, changed_at=at, **changes)  # type: ignore[arg-type]


def _forgotten(alert: Alert) -> Concern:
    return replace(alert.concern, occurrence="")


def _unresolved(alert: Alert) -> None:
    if alert.state is AlertState.RESOLVED:
        raise Conflict("This alert is over.", hint="`pitstop alert list` shows those that are not.", code="resolved")
