"""Slack as a value: a client that records what it is asked, judges it by the sandbox's rules, and fails when told to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.sandbox import limits
from bot.sandbox.posting import content_of
from bot.sandbox.rates import Rates
from bot.sandbox.refusals import RateLimited, SlackError
from bot.sandbox.view_rules import require_view

Json = dict[str, Any]


@dataclass
class Posted:
    """One message as Slack keeps it; `history` are its contents, oldest first, the present one last."""

    channel: str
    ts: str
    thread_ts: str | None
    history: list[Json] = field(default_factory=list)

    @property
    def shown(self) -> Json:
        """What readers see now."""
        return self.history[-1]

    @property
    def buttons(self) -> list[tuple[str, str]]:
        """What can be pressed: action and value."""
        rows = [block["elements"] for block in self.shown["blocks"] if block["type"] == "actions"]
        return [(element["action_id"], element["value"]) for row in rows for element in row]

    @property
    def title(self) -> str:
        """The headline."""
        return str(self.shown["blocks"][0]["text"]["text"])


class Slack(WebClient):
    """A client whose every call ends here. Nothing leaves the process.

    `clock` is seconds. `away` makes every call fail without an answer; `lost` calls are carried out and their answers lost;
    `limited` are the headers of a 429; `refuse` maps a method to the error it answers with.
    """

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__("xoxb-unit", base_url="http://127.0.0.1:9/api/", retry_handlers=[])
        self.clock, self.rates = clock, Rates()
        self.messages: dict[tuple[str, str], Posted] = {}
        self.calls: list[tuple[float, str, Json]] = []
        self.users: dict[str, Json] = {}
        self.groups: dict[str, list[str]] = {}
        self.refuse: dict[str, str] = {}
        self.away, self.lost = False, 0
        self.limited: dict[str, str] | None = None
        self._numbers = itertools.count(1)

    def api_call(self, api_method: str, **given: Any) -> SlackResponse:
        """Answer one call like Slack, or fail like it."""
        arguments: Json = given.get("json") or given.get("params") or {}
        self.calls.append((self.clock(), api_method, arguments))
        if self.away:
            raise URLError("nobody answers")
        if self.limited is not None:
            raise self._no({"error": "ratelimited"}, 429, self.limited)
        try:
            self._limit(api_method, arguments)
            if api_method in self.refuse:
                raise SlackError(self.refuse[api_method])
            answer = getattr(self, "_" + api_method.replace(".", "_").lower())(arguments)
        except RateLimited as limited:
            raise self._no({"error": "ratelimited"}, 429, {"Retry-After": str(limited.retry_after_s)}) from None
        except SlackError as error:
            raise self._no(error.as_json()) from None
        if self.lost:
            self.lost -= 1
            raise URLError("the answer was lost")
        return self._response({"ok": True, **answer})

    def called(self, method: str) -> list[Json]:
        """Return the arguments of every call of a method."""
        return [arguments for _, called, arguments in self.calls if called == method]

    def _limit(self, method: str, arguments: Json) -> None:
        self.rates.call(method, self.clock())
        if method == "chat.postMessage":
            self.rates.message(arguments["channel"], self.clock())

    def _no(self, data: Json, status: int = 200, headers: dict[str, str] | None = None) -> SlackApiError:
        return SlackApiError("no", self._response({"ok": False, **data}, status, headers))  # type: ignore[no-untyped-call]

    def _response(self, data: Json, status: int = 200, headers: dict[str, str] | None = None) -> SlackResponse:
        return SlackResponse(
            client=self, http_verb="POST", api_url="", req_args={}, data=data, headers=headers or {}, status_code=status
        )

    def _chat_postmessage(self, arguments: Json) -> Json:
        content = content_of(arguments)
        posted = Posted(arguments["channel"], f"{next(self._numbers)}.000100", arguments.get("thread_ts"), [content])
        self.messages[posted.channel, posted.ts] = posted
        return {"channel": posted.channel, "ts": posted.ts}

    def _chat_update(self, arguments: Json) -> Json:
        posted = self.messages.get((arguments["channel"], arguments["ts"]))
        if posted is None:
            raise SlackError("message_not_found")
        posted.history.append(content_of(arguments, most=limits.UPDATE_TEXT, cut=False))
        return {"channel": posted.channel, "ts": posted.ts}

    def _chat_getpermalink(self, arguments: Json) -> Json:
        return {"permalink": f"https://slack.test/{arguments['channel']}/{arguments['message_ts']}"}

    def _conversations_open(self, arguments: Json) -> Json:
        return {"channel": {"id": "D" + arguments["users"]}}

    def _users_info(self, arguments: Json) -> Json:
        if arguments["user"] not in self.users:
            raise SlackError("user_not_found")
        return {"user": self.users[arguments["user"]]}

    def _usergroups_users_list(self, arguments: Json) -> Json:
        if arguments["usergroup"] not in self.groups:
            raise SlackError("no_such_subteam")
        return {"users": self.groups[arguments["usergroup"]]}

    def _views_open(self, arguments: Json) -> Json:
        return {"view": {**require_view(arguments["view"]), "id": f"V{next(self._numbers)}", "hash": "1"}}

    def _views_update(self, arguments: Json) -> Json:
        return {"view": {**require_view(arguments["view"]), "id": arguments["view_id"], "hash": "2"}}
