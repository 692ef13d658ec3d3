"""Everything one running sandbox knows, in one place."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.sandbox.faults import Faults
from bot.sandbox.rates import Rates
from bot.sandbox.tickets import Tickets
from bot.sandbox.values import Action, Json, Seed, TryThis
from bot.sandbox.views import Views
from bot.sandbox.workspace import Workspace

CALLS_KEPT = 10_000


@dataclass(slots=True)
class Clock:
    """UNIX seconds from `source`, set forward by `offset_s`."""

    source: Callable[[], float] = time.time
    offset_s: float = 0.0

    def now(self) -> float:
        """Return the sandbox's time."""
        return self.source() + self.offset_s


@dataclass(slots=True)
class Upload:
    """One file: announced, then sent, then shared; `secret` is part of its addresses."""

    id: str
    name: str
    length: int
    secret: str
    title: str = ""
    content: bytes | None = None
    shared: bool = False


@dataclass(slots=True)
class Secrets:
    """The credentials of the installed app; new ones at every start."""

    bot_token: str = field(default_factory=lambda: f"xoxb-sandbox-{secrets.token_hex(12)}")
    app_token: str = field(default_factory=lambda: f"xapp-1-A0PITSTOP-{secrets.token_hex(12)}")
    signing_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    verification_token: str = field(default_factory=lambda: secrets.token_hex(12))
    page_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class State:
    """The workspace with its views, tickets, limits, faults, files and credentials; used in one thread only."""

    def __init__(
        self,
        seed: Seed,
        *,
        clock: Clock | None = None,
        rate_limits: bool = True,
        actions: tuple[Action, ...] = (),
        try_this: TryThis | None = None,
        request_url: str = "",
    ) -> None:
        self.workspace = Workspace(seed)
        self.views = Views(seed.team, seed.app, self.workspace.changes)
        self.tickets = Tickets()
        self.rates = Rates(enabled=rate_limits)
        self.faults = Faults()
        self.secrets = Secrets()
        self.clock = clock or Clock()
        self.actions = actions
        self.try_this = try_this or TryThis()
        self.request_url = request_url
        self.scopes: tuple[str, ...] = seed.app.scopes
        self.revoked = False
        self.uploads: dict[str, Upload] = {}
        self.calls: deque[Json] = deque(maxlen=CALLS_KEPT)
        self.base_url = ""

    def now(self) -> float:
        """Return the sandbox's time in UNIX seconds."""
        return self.clock.now()
