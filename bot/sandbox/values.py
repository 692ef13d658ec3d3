"""What a sandbox workspace is made of: people, channels, groups, the installed app, and what the page invites one to try."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

Json = dict[str, Any]

HOUSE_TEAM = "T0SLIPVERIF"
PARTNER_TEAM = "T0PARTNER"


@dataclass(frozen=True, slots=True)
class Team:
    """The workspace itself; `domain` is the first label of its address."""

    id: str = HOUSE_TEAM
    name: str = "Slip Verification"
    domain: str = "slip-verification"


@dataclass(frozen=True, slots=True)
class Person:
    """One human, guest, stranger or bot.

    Attributes:
        name: the handle, without `@`.
        team_id: the workspace they belong to; empty means this one.
        is_restricted: a guest with several channels; `is_ultra_restricted`: with one.
        is_stranger: known only through a shared channel.
        deleted: deactivated; cannot act.
    """

    id: str
    name: str
    real_name: str
    title: str = ""
    email: str = ""
    tz: str = "Asia/Bangkok"
    team_id: str = ""
    is_admin: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False
    is_bot: bool = False
    deleted: bool = False

    def tz_offset_s(self, now: float) -> int:
        """Return the offset of the person's zone from UTC at `now`, in seconds."""
        offset = datetime.fromtimestamp(now, ZoneInfo(self.tz)).utcoffset()
        return int(offset.total_seconds()) if offset else 0


@dataclass(frozen=True, slots=True)
class Channel:
    """One conversation; `members` are ids of people, and of the bot's user when the app was invited."""

    id: str
    name: str
    topic: str = ""
    members: frozenset[str] = frozenset()
    is_private: bool = False
    is_archived: bool = False
    is_ext_shared: bool = False
    is_im: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A user group such as `@dbas`."""

    id: str
    handle: str
    name: str
    members: tuple[str, ...] = ()
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command as the app's manifest declares it."""

    name: str
    description: str = ""
    usage_hint: str = ""
    should_escape: bool = True


DEFAULT_COMMANDS = (
    Command("/backup", "See what is safe, or back up now", "[now|list|help]"),
    Command("/pitr", "Go back to a point in time", "CLUSTER TARGET [reason]"),
    Command("/restore", "Bring back a backup", "CLUSTER [ID|latest]"),
)
DEFAULT_SCOPES = (
    "commands",
    "chat:write",
    "im:write",
    "users:read",
    "usergroups:read",
    "files:write",
    "channels:read",
    "groups:read",
)
DEFAULT_EVENTS = ("app_home_opened", "user_change", "subteam_members_changed", "tokens_revoked", "app_uninstalled")


@dataclass(frozen=True, slots=True)
class App:
    """The installed app: what it may do and what it listens to."""

    id: str = "A0PITSTOP"
    name: str = "Pitstop"
    bot_id: str = "B0PITSTOP"
    bot_user: str = "U0PITSTOP"
    commands: tuple[Command, ...] = DEFAULT_COMMANDS
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    events: tuple[str, ...] = DEFAULT_EVENTS


def app_from_manifest(manifest: Mapping[str, Any]) -> App:
    """Return the app that a Slack app manifest describes.

    Source: https://docs.slack.dev/reference/app-manifest
    """
    features = manifest.get("features", {})
    settings = manifest.get("settings", {})
    return App(
        name=manifest["display_information"]["name"],
        commands=tuple(
            Command(c["command"], c.get("description", ""), c.get("usage_hint", ""), c.get("should_escape", False))
            for c in features.get("slash_commands", [])
        ),
        scopes=tuple(manifest.get("oauth_config", {}).get("scopes", {}).get("bot", ())),
        events=tuple(settings.get("event_subscriptions", {}).get("bot_events", ())),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try; `command` fills the composer when pressed, `channel` and `person` are switched to first."""

    text: str
    command: str = ""
    channel: str = ""
    person: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class TryThis:
    """The panel that says what to do on this page."""

    title: str = ""
    intro: str = ""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """A button of the demo's own, outside Slack: `run` is called in a thread and may return a sentence to show."""

    id: str
    label: str
    description: str
    run: Callable[[], str | None]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Seed:
    """Everything a workspace starts with."""

    team: Team = field(default_factory=Team)
    people: Sequence[Person] = ()
    channels: Sequence[Channel] = ()
    groups: Sequence[Group] = ()
    app: App = field(default_factory=App)


SAMPLE_PEOPLE = (
    Person("U0NOK", "nok", "Nok Srisai", "On-call engineer", "nok@slip.example"),
    Person("U0SOMCHAI", "somchai", "Somchai Prasert", "DBA", "somchai@slip.example", is_admin=True),
    Person("U0PLOY", "ploy", "Ploy Kittisak", "DBA", "ploy@slip.example", tz="Europe/Berlin"),
    Person("U0KIT", "kit", "Kit Larsen", "Contractor (guest)", "kit@contractor.example", is_restricted=True),
    Person("U0MALEE", "malee", "Malee Boonmee", "Former DBA", "malee@slip.example", deleted=True),
    Person(
        "U0ALEX",
        "alex",
        "Alex Morgan",
        "Partner Bank",
        "alex@partner.example",
        tz="Europe/London",
        team_id=PARTNER_TEAM,
        is_stranger=True,
    ),
)
_STAFF = frozenset({"U0NOK", "U0SOMCHAI", "U0PLOY", "U0MALEE", "U0PITSTOP"})
SAMPLE_CHANNELS = (
    Channel("C0BACKUPS", "db-backups", "What is safe, and how we know", _STAFF | {"U0KIT"}),
    Channel("C0ALERTS", "db-alerts", "What needs a look", _STAFF),
    Channel("C0APPROVALS", "db-approvals", "Requests waiting for a second person", _STAFF),
    Channel("C0GENERAL", "general", "Everyone at Slip Verification", (_STAFF | {"U0KIT"}) - {"U0PITSTOP"}),
    Channel("C0PARTNER", "partner-bank", "Shared with Partner Bank", _STAFF | {"U0ALEX"}, is_ext_shared=True),
)
SAMPLE_GROUPS = (Group("S0DBAS", "dbas", "Database administrators", ("U0SOMCHAI", "U0PLOY")),)


def slip_verification(app: App | None = None) -> Seed:
    """Return the sample workspace: an engineer on call, two DBAs, a guest, a leaver and a stranger."""
    return Seed(Team(), SAMPLE_PEOPLE, SAMPLE_CHANNELS, SAMPLE_GROUPS, app or App())
