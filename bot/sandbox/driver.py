"""Use a sandbox workspace from a program: type, press, fill in, look and wait; for tests and for the story.

Standard library only and synchronous. People are named by handle or id, channels by name (with or without `#`) or id.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Json = dict[str, Any]
Found = TypeVar("Found")


class DriverError(Exception):
    """The sandbox refused what a person tried, as Slack's own client would; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one interaction.

    Attributes:
        acked: the app answered within three seconds.
        seconds: from frame sent to ack received; None without an ack.
        response: the payload that rode along with the ack.
        errors: a modal's messages, by block id; the modal is still open.
        options: what a type-ahead answered.
        message: what the person was shown when it went wrong.
    """

    acked: bool
    seconds: float | None = None
    response: Json = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    options: list[Json] = field(default_factory=list)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it stands now; `visible_to` names the only reader of an ephemeral, `version` counts its edits."""

    channel: str
    ts: str
    author: str
    text: str
    blocks: list[Json]
    thread_ts: str | None = None
    visible_to: str | None = None
    version: int = 0
    files: list[Json] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)

    @property
    def full_text(self) -> str:
        """Return the text and everything readable in the blocks, one piece per line."""
        return "\n".join([self.text, *_strings(self.blocks)])

    @property
    def elements(self) -> list[Json]:
        """Return every interactive element, each with its `block_id`."""
        return list(_elements(self.blocks))

    @property
    def buttons(self) -> list[Json]:
        """Return the buttons, each with `action_id`, `value` and `block_id`."""
        return [element for element in self.elements if element["type"] == "button"]

    def has_button(self, action_id: str) -> bool:
        """Say whether a button or other element with this `action_id` can be used."""
        return any(element.get("action_id") == action_id for element in self.elements)


@dataclass(frozen=True, slots=True)
class View:
    """An open modal, or a Home tab."""

    id: str
    callback_id: str
    title: str
    blocks: list[Json]
    private_metadata: str
    hash: str
    raw: Json

    @property
    def full_text(self) -> str:
        """Return everything readable in the view, one piece per line."""
        return "\n".join([self.title, *_strings(self.blocks)])

    @property
    def elements(self) -> list[Json]:
        """Return every interactive element, each with its `block_id`."""
        return list(_elements(self.blocks))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One envelope: when it went out and when it was acknowledged (seconds of the sandbox's clock)."""

    envelope_id: str
    kind: str
    sent_at: float | None
    acked_at: float | None
    attempts: int

    @property
    def seconds(self) -> float | None:
        """Return the time from frame sent to ack received."""
        return None if self.sent_at is None or self.acked_at is None else self.acked_at - self.sent_at


class Driver:
    """A person's hands and eyes in the sandbox at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A proxy configured for the outside must never see the sandbox.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token = ""

    # -- what people do ------------------------------------------------------------------------------------------------

    def command(self, user: str, channel: str, text: str) -> Outcome:
        """Type a slash command such as `/pitr slips latest` and wait until it is acknowledged or timed out."""
        return self._interact("command", user=user, channel=channel, text=text)

    def say(self, user: str, channel: str, text: str, *, thread_ts: str | None = None) -> str:
        """Post an ordinary message and return its timestamp."""
        return str(self._post("say", user=user, channel=channel, text=text, thread_ts=thread_ts)["ts"])

    def click(
        self, user: str, message: Message | View, action_id: str, *, value: Any = None, block_id: str | None = None
    ) -> Outcome:
        """Press the button `action_id` of a message or view; for selects, menus and pickers `value` is what is chosen."""
        place = {"view": message.id} if isinstance(message, View) else {"channel": message.channel, "ts": message.ts}
        return self._interact("click", user=user, action_id=action_id, block_id=block_id, value=value, **place)

    def submit(self, user: str, view: View, values: Mapping[str, Any] | None = None) -> Outcome:
        """Fill in a modal and send it; `values` by block id or action id: text, option value, UNIX seconds, lists of them.

        Check `.errors`: Slack's own checks (a required field) and the app's `response_action: errors`.
        """
        return self._interact("submit", user=user, view=view.id, values=dict(values or {}))

    def close_view(self, user: str, view: View, *, all_views: bool = False) -> Outcome:
        """Close a modal by its cancel button, or the whole stack by its cross."""
        return self._interact("close_view", user=user, view=view.id, all=all_views)

    def options(
        self,
        user: str,
        source: Message | View,
        action_id: str,
        query: str = "",
        *,
        values: Mapping[str, Any] | None = None,
    ) -> list[Json]:
        """Type `query` into an external select and return what the app suggests; `values`: the form so far, as in `submit`."""
        place = {"view": source.id} if isinstance(source, View) else {"channel": source.channel, "ts": source.ts}
        told = {"action_id": action_id, "query": query, "values": dict(values or {})}
        return self._interact("options", user=user, **told, **place).options

    def open_home(self, user: str) -> Outcome:
        """Open the app's Home tab."""
        return self._interact("open_home", user=user)

    # -- what people see -----------------------------------------------------------------------------------------------

    def messages(self, channel: str, *, thread_ts: str | None = None) -> list[Message]:
        """Return the channel's messages in order, replies included, ephemerals not; only one thread with `thread_ts`."""
        found = [_message(m) for m in self._get("messages", channel=channel)["messages"]]
        if thread_ts is None:
            return found
        return [message for message in found if thread_ts in {message.ts, message.thread_ts}]

    def message(self, channel: str, ts: str) -> Message | None:
        """Return one message as it stands now, or None when it is gone."""
        return next((message for message in self.messages(channel) if message.ts == ts), None)

    def dm(self, user: str) -> list[Message]:
        """Return what the app and this person wrote to each other."""
        return [_message(m) for m in self._get("dm", user=user)["messages"]]

    def ephemerals(self, user: str, channel: str) -> list[Message]:
        """Return what only this person sees in the channel; `@app` is the DM with the app."""
        return [_message(m) for m in self._get("ephemerals", user=user, channel=channel)["messages"]]

    def open_views(self, user: str) -> list[View]:
        """Return the person's stack of modals, the visible one last."""
        return [_view(v) for v in self._get("views", user=user)["views"]]

    def home(self, user: str) -> View | None:
        """Return the person's Home tab, or None when the app has not published one."""
        view = self._get("views", user=user)["home"]
        return _view(view) if view else None

    def wait_for(self, predicate: Callable[[Driver], Found | None], timeout: float = 10.0, *, what: str = "") -> Found:
        """Return the first truthy answer of `predicate(driver)`, asked anew after every change of the workspace.

        Raises:
            TimeoutError: nothing truthy within `timeout` seconds; tells what the channels last showed.
        """
        deadline = time.monotonic() + timeout
        while True:
            seen = self._get("sequence")["sequence"]
            found = predicate(self)
            if found:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"waited {timeout:g} s in vain for {what or predicate!r}\n{self.transcript()}")
            # At least once a second, because the predicate may look at more than the workspace.
            self._get("sequence", after=seen, wait=min(left, 1.0))

    def transcript(self, limit: int = 20) -> str:
        """Return the last messages of every conversation as plain text."""
        return str(self._get("transcript", limit=limit)["text"])

    def state(self, user: str) -> Json:
        """Return everything the page shows to `user`."""
        return self._get("state", user=user)

    # -- the workspace itself ------------------------------------------------------------------------------------------

    def fault(self, name: str, **args: Any) -> None:
        """Make the sandbox misbehave as listed in docs/sandbox.md; `fault("none")` ends all of it."""
        self._post("fault", name=name, args=args)

    def sockets(self) -> int:
        """Return how many Socket Mode connections are open and take deliveries."""
        return int(self._get("sockets")["sockets"])

    def deliveries(self) -> list[Delivery]:
        """Return every envelope sent so far, oldest first."""
        return [Delivery(**d) for d in self._get("deliveries")["deliveries"]]

    def calls(self, method: str = "") -> list[Json]:
        """Return the Web API calls received: `method`, `args`, `at`, `ok`, `error`; all or those of one method."""
        return list(self._get("calls", method=method)["calls"])

    def emit(self, event: Mapping[str, Any]) -> Outcome:
        """Deliver an Events API event, for example `{"type": "tokens_revoked", …}`."""
        return self._interact("emit", event=dict(event))

    def change_person(self, user: str, **facts: Any) -> None:
        """Change facts about a person (`deleted=True`, `is_restricted=True`, `tz=…`)."""
        self._post("change_person", user=user, facts=facts)

    def change_channel(self, channel: str, **facts: Any) -> None:
        """Change facts about a channel (`is_archived=True`, `members=[…]`, `is_ext_shared=True`)."""
        self._post("change_channel", channel=channel, facts=facts)

    def change_group(self, group: str, members: list[str] | None = None, *, disabled: bool | None = None) -> None:
        """Change who is in a user group, or disable it."""
        self._post("change_group", group=group, members=members, disabled=disabled)

    def change_app(self, **facts: Any) -> None:
        """Change the installation: `scopes=[…]`, `request_url="http://127.0.0.1:…/slack/events"`, `revoked=True`."""
        self._post("change_app", facts=facts)

    def advance(self, seconds: float) -> None:
        """Set the sandbox's clock forward; triggers, response URLs and rate limits follow it."""
        self._post("advance", seconds=seconds)

    def try_this(self, title: str, steps: list[Json], *, intro: str = "") -> None:
        """Set the page's panel; a step is `{"text", "command"?, "channel"?, "person"?, "done"?}`."""
        self._post("try_this", title=title, intro=intro, steps=steps)

    def act(self, action_id: str) -> str:
        """Press one of the demo's own buttons and return what it said."""
        return str(self._post("act", id=action_id)["message"])

    # -- the wire ------------------------------------------------------------------------------------------------------

    def _interact(self, verb: str, **body: Any) -> Outcome:
        return Outcome(**self._post(verb, **body)["outcome"])

    def _get(self, verb: str, **query: Any) -> Json:
        given = {key: str(value) for key, value in query.items() if value is not None}
        request = urllib.request.Request(f"{self.url}/control/{verb}?{urllib.parse.urlencode(given)}")  # noqa: S310
        return self._send(request)

    def _post(self, verb: str, **body: Any) -> Json:
        if not self._token:
            self._token = self._get("session")["token"]
        headers = {"Content-Type": "application/json", "X-Sandbox-Token": self._token}
        data = json.dumps(body).encode()
        return self._send(urllib.request.Request(f"{self.url}/control/{verb}", data, headers))  # noqa: S310  ours, http

    def _send(self, request: urllib.request.Request) -> Json:
        try:
            with self._opener.open(request, timeout=60) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                told = json.loads(error.read() or b"{}")
            raise DriverError(told.get("error", str(error.code)), told.get("message", error.reason)) from None


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _strings(item)
    elif isinstance(node, dict):
        if isinstance(node.get("text"), str):
            yield node["text"]
        for value in node.values():
            if isinstance(value, dict | list):
                yield from _strings(value)


def _elements(blocks: list[Json]) -> Iterator[Json]:
    for block in blocks:
        inside = [*block.get("elements", []), block.get("accessory"), block.get("element"), *block.get("actions", [])]
        for element in inside:
            if isinstance(element, dict) and "action_id" in element:
                yield {**element, "block_id": block.get("block_id", "")}


def _message(raw: Json) -> Message:
    return Message(
        channel=raw["channel"],
        ts=raw["ts"],
        author=raw["user"],
        text=raw["text"],
        blocks=raw["blocks"],
        thread_ts=raw.get("thread_ts"),
        visible_to=raw.get("visible_to"),
        version=raw["version"],
        files=raw.get("files", []),
        metadata=raw.get("metadata") or {},
    )


def _view(raw: Json) -> View:
    return View(
        id=raw["id"],
        callback_id=raw.get("callback_id", ""),
        title=(raw.get("title") or {}).get("text", ""),
        blocks=raw["blocks"],
        private_metadata=raw.get("private_metadata", ""),
        hash=raw["hash"],
        raw=raw,
    )
