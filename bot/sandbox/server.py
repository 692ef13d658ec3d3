"""Run a sandbox workspace on loopback, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from bot.sandbox.driver import Driver
from bot.sandbox.values import Action, App, Channel, Group, Person, Team, TryThis


class Sandbox:
    """A running workspace; stop it with `stop()` or leave the `with` block."""

    url: str
    api_url: str
    bot_token: str
    app_token: str
    signing_secret: str

    @classmethod
    def start(
        cls,
        port: int = 0,
        *,
        team: Team | None = None,
        people: Sequence[Person] | None = None,
        channels: Sequence[Channel] | None = None,
        groups: Sequence[Group] | None = None,
        app: App | None = None,
        manifest: dict[str, Any] | None = None,
        actions: Sequence[Action] = (),
        try_this: TryThis | None = None,
        request_url: str = "",
        rate_limits: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> Sandbox:
        """Start listening on 127.0.0.1; port 0 takes a free one. What is not given comes from the sample workspace."""
        raise NotImplementedError

    def driver(self) -> Driver:
        """Return hands and eyes for this workspace."""
        return Driver(self.url)

    def stop(self) -> None:
        """Close every connection and end the thread; idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
