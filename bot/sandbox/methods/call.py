"""One Web API call: its arguments as Slack reads them, whether they came as JSON or as a form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.sandbox.refusals import NotPossible, SlackError
from bot.sandbox.state import State
from bot.sandbox.values import Channel, Json, Person
from bot.sandbox.workspace import Workspace

_FALSE = {"", "0", "false", "False", "no"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that passed authentication, scopes and rate limits."""

    state: State
    args: Json
    now: float

    @property
    def workspace(self) -> Workspace:
        """Return the workspace called."""
        return self.state.workspace

    def text(self, key: str, default: str = "") -> str:
        """Return a string argument."""
        value = self.args.get(key)
        return default if value is None else str(value)

    def required(self, key: str, error: str = "invalid_arguments") -> str:
        """Return a string argument. Raises SlackError when it is missing."""
        value = self.text(key)
        if not value:
            messages = [f"[ERROR] missing required field: {key}"]
            raise SlackError(error, response_metadata={"messages": messages})
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean argument, in any of the forms clients send."""
        value = self.args.get(key, False)
        return value not in _FALSE if isinstance(value, str) else bool(value)

    def structure(self, key: str) -> Any:
        """Return a JSON argument, which forms carry as a string; None when absent. Raises SlackError `invalid_json`."""
        value = self.args.get(key)
        if isinstance(value, str):
            if not value:
                return None
            try:
                return json.loads(value)
            except ValueError:
                raise SlackError("invalid_json", argument=key) from None
        return value

    def person(self, key: str, error: str = "user_not_found") -> Person:
        """Return the person whose id an argument names."""
        found = self.workspace.people.get(self.text(key))
        if found is None:
            raise SlackError(error)
        return found

    def conversation(self, key: str = "channel") -> Channel:
        """Return the conversation an argument names: an id, a `#name`, or a person's id for the DM with them.

        Raises:
            SlackError: `channel_not_found`, also for private channels without the app, as Slack does.
        """
        wanted = self.required(key, "channel_not_found")
        workspace = self.workspace
        if wanted in workspace.people:
            person = workspace.people[wanted]
            if person.deleted:
                raise SlackError("user_disabled")
            if person.is_bot:
                raise SlackError("cannot_dm_bot")
            return workspace.direct(wanted)
        try:
            channel = workspace.channel(wanted)
        except NotPossible:
            raise SlackError("channel_not_found") from None
        if channel.is_private and workspace.app.bot_user not in channel.members:
            raise SlackError("channel_not_found")
        return channel


Answer = Callable[[Call], Json]


@dataclass(frozen=True, slots=True)
class Method:
    """A method and the scopes of which one is needed."""

    answer: Answer
    scopes: tuple[str, ...] = ()
    app_level: bool = False
