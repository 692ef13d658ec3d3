"""The one way to call Slack: no hidden retries, errors translated once, and secrets kept out of the logs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.errors import PitstopError, Unavailable

TIMEOUT_S = 10
_TOKEN = re.compile(r"\b(xox[a-z]*|xapp|xwfp)-[A-Za-z0-9-]+")
_AWAY = {
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
}
_SIGN_IN = {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"}


class SlackAnswered(PitstopError):
    """Slack refused a call; `slack_error` is its word, `permanent` says that asking again cannot help."""

    code = "slack"

    def __init__(self, method: str, slack_error: str, *, hint: str = "", permanent: bool = True) -> None:
        super().__init__(
            f"Slack refused {method}: {slack_error}.", hint=hint, code=f"slack-{slack_error.replace('_', '-')}"
        )
        self.slack_error = slack_error
        self.permanent = permanent


class SlackBusy(Unavailable):
    """Slack asks us to wait `retry_after_s` seconds, or did not answer; the call may or may not have been carried out.

    `limited` says that it is there, and only has enough of us.
    """

    code = "slack-away"

    def __init__(
        self, message: str, *, retry_after_s: float = 1.0, maybe_done: bool = False, limited: bool = False
    ) -> None:
        super().__init__(message, hint="Is slack.com reachable from here?")
        self.retry_after_s = retry_after_s
        self.maybe_done = maybe_done
        self.limited = limited


def web_client(token: str, *, api_url: str = "https://slack.com/api/", timeout_s: int = TIMEOUT_S) -> WebClient:
    """Return a client without retry handlers: the SDK's default sends a POST twice when an answer is lost."""
    client = WebClient(token, base_url=api_url, timeout=timeout_s, retry_handlers=[])
    if direct(urlsplit(api_url).hostname or ""):
        client.proxy = None  # the SDK takes HTTPS_PROXY from the environment, but not NO_PROXY
    return client


def direct(host: str) -> bool:
    """Say whether a host is reached without a proxy: this machine, or what NO_PROXY names."""
    return host in {"localhost", "127.0.0.1", "::1"} or bool(proxy_bypass(host))


def call(
    client: WebClient, method: str, *, http_verb: Literal["GET", "POST"] = "POST", **arguments: Any
) -> Mapping[str, Any]:
    """Call one Web API method and return its answer; arguments that are None are left out.

    Raises:
        SlackBusy: rate limited, away, or no answer came (then it may have been done).
        SlackAnswered: Slack said no.
    """
    return call_with_headers(client, method, http_verb=http_verb, **arguments)[0]


def call_with_headers(
    client: WebClient, method: str, *, http_verb: Literal["GET", "POST"] = "POST", **arguments: Any
) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Like `call`, with the answer's HTTP headers."""
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        answer = (
            client.api_call(method, http_verb="GET", params=given)
            if http_verb == "GET"
            else client.api_call(method, json=given)
        )
    except SlackApiError as error:
        raise _refusal(method, error) from None
    except (SlackClientError, OSError, ValueError, HTTPException) as error:
        raise SlackBusy(f"Slack did not answer {method}: {redact(str(error)[:200])}.", maybe_done=True) from None
    return dict(answer.data) if isinstance(answer.data, dict) else {}, dict(answer.headers)


def redact(text: str) -> str:
    """Return `text` with Slack tokens replaced by their kind."""
    return _TOKEN.sub(r"\1-…", text)


def quiet_logs() -> None:
    """Hold Bolt's and the SDK's loggers at INFO or above, whatever the rest logs at: at DEBUG they print what people typed.

    Idempotent. Bolt makes a logger per listener; they inherit from these.
    """
    for name in ("slack_bolt", "slack_sdk"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO) or logging.INFO)


def _refusal(method: str, error: SlackApiError) -> PitstopError:
    response: Any = error.response
    word = str(response.get("error", "")) if response is not None else ""
    status = int(getattr(response, "status_code", 0) or 0)
    if status == 429 or word in {"ratelimited", "rate_limited"}:
        seconds = _retry_after(getattr(response, "headers", None) or {})
        return SlackBusy(f"Slack asks to wait {seconds:g} s before {method}.", retry_after_s=seconds, limited=True)
    if status >= 500 or word in _AWAY or not word:
        return SlackBusy(
            f"Slack could not answer {method}: {word or status}.", maybe_done=word == "fatal_error" or status >= 500
        )
    return SlackAnswered(method, word, hint=_hint(word, response), permanent=word not in _SIGN_IN)


def _retry_after(headers: Mapping[str, Any]) -> float:
    """Return how long Slack asks to wait, between a second and ten minutes; its headers are read whatever their case."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
    text = str(said[0] if isinstance(said, list) else said).strip()
    return min(max(float(text), 1.0), 600.0) if text.isascii() and text.isdigit() else 1.0


def _hint(word: str, response: Any) -> str:
    if word == "missing_scope":
        return f"Which scopes does the app have? Add `{response.get('needed', '')}` and install it again; see `pitstop manifest`."
    if word in _SIGN_IN:
        return "Is the token right and the app still installed? Run `pitstop check`."
    if word in {"channel_not_found", "not_in_channel", "is_archived"}:
        return "Is the channel right, open, and Pitstop invited to it? Run `pitstop check`."
    return ""
