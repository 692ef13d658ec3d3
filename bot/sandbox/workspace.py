"""The state of a sandbox workspace: who and what is in it, and every message; no clock, no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.sandbox.changes import Changes
from bot.sandbox.refusals import NotPossible, SlackError
from bot.sandbox.values import App, Channel, Group, Json, Person, Seed

Fact = TypeVar("Fact", Person, Channel, Group)


@dataclass(slots=True)
class Message:
    """One message as it stands now.

    Attributes:
        author: a person's id, or the bot's user.
        visible_to: the only reader of an ephemeral.
        version: how often it was edited.
    """

    channel: str
    ts: str
    author: str
    text: str
    blocks: list[Json]
    thread_ts: str | None = None
    visible_to: str | None = None
    bot_id: str | None = None
    edited_ts: str | None = None
    version: int = 0
    files: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)

    def as_slack(self) -> Json:
        """Return the message as the Web API and payloads show it."""
        told: Json = {"type": "message", "user": self.author, "text": self.text, "ts": self.ts, "blocks": self.blocks}
        if self.bot_id:
            told |= {"bot_id": self.bot_id}
        for key in ("thread_ts", "files", "attachments", "metadata"):
            if getattr(self, key):
                told[key] = getattr(self, key)
        if self.edited_ts:
            told["edited"] = {"user": self.author, "ts": self.edited_ts}
        if self.reactions:
            told["reactions"] = [{"name": n, "users": u, "count": len(u)} for n, u in self.reactions.items()]
        return told

    def as_page(self) -> Json:
        """Return the message as the page and the driver see it."""
        extra = {"channel": self.channel, "visible_to": self.visible_to, "version": self.version, "files": self.files}
        return self.as_slack() | extra


class Workspace:
    """People, channels, groups and messages; every mutation is noted in `changes` for those who watch."""

    def __init__(self, seed: Seed) -> None:
        self.team = seed.team
        self.app: App = seed.app
        self.people: dict[str, Person] = {person.id: person for person in seed.people}
        bot = Person(self.app.bot_user, self.app.name.lower(), self.app.name, title="App", is_bot=True, tz="UTC")
        self.people[bot.id] = bot
        self.channels: dict[str, Channel] = {channel.id: channel for channel in seed.channels}
        self.groups: dict[str, Group] = {group.id: group for group in seed.groups}
        self.messages: dict[str, list[Message]] = {}
        self.changes = Changes()
        self._last_ts_us = 0

    # -- finding -------------------------------------------------------------------------------------------------------

    def person(self, who: str) -> Person:
        """Return a person by id or handle. Raises NotPossible `no_such_person`."""
        wanted = who.removeprefix("@")
        for person in self.people.values():
            if wanted in {person.id, person.name}:
                return person
        raise NotPossible("no_such_person", f"Nobody here is called “{who}”.")

    def channel(self, which: str, *, seen_by: Person | None = None) -> Channel:
        """Return a channel by id or name; `@app` is the DM of `seen_by` with the app. Raises NotPossible `no_such_channel`."""
        if which == "@app" and seen_by:
            return self.direct(seen_by.id)
        wanted = which.removeprefix("#")
        for channel in self.channels.values():
            if wanted in {channel.id, channel.name}:
                return channel
        raise NotPossible("no_such_channel", f"There is no channel “{which}”.")

    def group(self, which: str) -> Group:
        """Return a user group by id or handle. Raises NotPossible `no_such_group`."""
        for group in self.groups.values():
            if which.removeprefix("@") in {group.id, group.handle}:
                return group
        raise NotPossible("no_such_group", f"There is no user group “{which}”.")

    def direct(self, user: str) -> Channel:
        """Return the DM between the app and this person, made on first use."""
        channel_id = "D" + user.removeprefix("U").removeprefix("W")
        if channel_id not in self.channels:
            self.channels[channel_id] = Channel(
                channel_id, "", members=frozenset({user, self.app.bot_user}), is_im=True
            )
            self.changes.note("channels", {}, frozenset({user}))
        return self.channels[channel_id]

    def message(self, channel_id: str, ts: str) -> Message | None:
        """Return a message, ephemerals included, or None."""
        return next((m for m in reversed(self.messages.get(channel_id, [])) if m.ts == ts), None)

    def sees(self, person: Person, channel: Channel) -> bool:
        """Say whether the channel is in this person's list."""
        if person.id in channel.members:
            return True
        outsider = person.is_restricted or person.is_ultra_restricted or person.is_stranger
        return not (outsider or channel.is_private or channel.is_im)

    def audience(self, channel: Channel) -> frozenset[str]:
        """Return the ids of all who see the channel."""
        return frozenset(person.id for person in self.people.values() if self.sees(person, channel))

    def channels_of(self, person: Person) -> list[Channel]:
        """Return the channels this person sees, DMs last."""
        seen = [channel for channel in self.channels.values() if self.sees(person, channel)]
        return sorted(seen, key=lambda channel: channel.is_im)

    # -- messages ------------------------------------------------------------------------------------------------------

    def timestamp(self, now: float) -> str:
        """Return a message timestamp at `now`, never one that was given out before."""
        self._last_ts_us = max(int(now * 1_000_000), self._last_ts_us + 1)
        return f"{self._last_ts_us // 1_000_000}.{self._last_ts_us % 1_000_000:06d}"

    def post(self, message: Message) -> Message:
        """Add a message."""
        self.messages.setdefault(message.channel, []).append(message)
        self._note(message)
        return message

    def edit(self, message: Message, *, edited_ts: str | None, **facts: Any) -> Message:
        """Replace parts of a message in place; `edited_ts` None leaves no mark."""
        for key, value in facts.items():
            setattr(message, key, value)
        message.version += 1
        message.edited_ts = edited_ts or message.edited_ts
        self._note(message)
        return message

    def remove(self, message: Message) -> None:
        """Take a message away."""
        self.messages[message.channel].remove(message)
        gone = {"channel": message.channel, "ts": message.ts}
        self.changes.note("gone", gone, self._readers(message))

    def react(self, message: Message, name: str, user: str, *, add: bool) -> None:
        """Add or take back a reaction.

        Raises:
            SlackError: `already_reacted` or `no_reaction`.
        """
        users = message.reactions.get(name, [])
        if add == (user in users):
            raise SlackError("already_reacted" if add else "no_reaction")
        left = [*users, user] if add else [each for each in users if each != user]
        message.reactions = {**message.reactions, name: left} if left else _without(message.reactions, name)
        self._note(message)

    def visible(self, channel_id: str, person: Person | None = None) -> list[Message]:
        """Return a channel's messages: for a person with their ephemerals, otherwise without any."""
        mine = {None, person.id} if person else {None}
        return [m for m in self.messages.get(channel_id, []) if m.visible_to in mine]

    def _note(self, message: Message) -> None:
        self.changes.note("message", message.as_page(), self._readers(message))

    def _readers(self, message: Message) -> frozenset[str]:
        if message.visible_to:
            return frozenset({message.visible_to})
        return self.audience(self.channels[message.channel])

    # -- changing who is who -------------------------------------------------------------------------------------------

    def change_person(self, person: Person, facts: Json) -> Person:
        """Change facts about a person."""
        changed = _replaced(person, facts)
        self.people[person.id] = changed
        self.changes.note("people", {}, None)
        return changed

    def change_channel(self, channel: Channel, facts: Json) -> Channel:
        """Change facts about a channel; `members` by id or handle."""
        if "members" in facts:
            facts = facts | {"members": frozenset(self.ids(facts["members"]))}
        self.channels[channel.id] = _replaced(channel, facts)
        self.changes.note("channels", {}, None)
        return self.channels[channel.id]

    def change_group(self, group: Group, members: list[str] | None, disabled: bool | None) -> Group:
        """Change who is in a user group, or whether it is disabled."""
        facts: Json = {} if disabled is None else {"disabled": disabled}
        if members is not None:
            facts["members"] = tuple(self.ids(members))
        self.groups[group.id] = _replaced(group, facts)
        return self.groups[group.id]

    def ids(self, names: Iterable[str]) -> list[str]:
        """Return ids for handles or ids."""
        return [self.person(name).id for name in names]


def _without(reactions: dict[str, list[str]], name: str) -> dict[str, list[str]]:
    return {key: users for key, users in reactions.items() if key != name}


def _replaced(value: Fact, facts: Json) -> Fact:
    known = {each.name for each in dataclasses.fields(value)} - {"id"}
    unknown = sorted(set(facts) - known)
    if unknown:
        raise NotPossible(
            "no_such_fact", f"{type(value).__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}."
        )
    return dataclasses.replace(value, **facts)
