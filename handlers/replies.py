"""Answers to the person who did something: only they see them, and losing one changes nothing."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import structlog
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from bot.errors import PitstopError
from bot.slack.blocks import Message
from bot.slack.cards.help import error_message
from bot.slack.client import call, direct
from handlers.payloads import Doer

log = structlog.get_logger("pitstop.replies")

_TIMEOUT_S = 5
_HOOKS = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})


def reply(client: WebClient, doer: Doer, message: Message) -> None:
    """Answer by the response URL, which works also where the bot is not a member; else by direct message. Never raises."""
    if _may_respond(doer.response_url, api_url=client.base_url) and _respond(doer.response_url, message):
        return
    try:
        opened = call(client, "conversations.open", users=doer.who.user)
        call(
            client,
            "chat.postMessage",
            channel=opened["channel"]["id"],
            text=message.text,
            blocks=message.blocks or None,
            unfurl_links=False,
            unfurl_media=False,
        )
    except PitstopError as error:
        log.warning("an answer was not delivered", person=doer.person, error=error.message)


def reply_error(client: WebClient, doer: Doer, error: PitstopError) -> None:
    """Say what was refused and what to do next."""
    reply(client, doer, error_message(error))


def _may_respond(url: str, *, api_url: str) -> bool:
    """Say whether a payload's response URL leads to Slack, or to the server that stands in for it (`slack.api_url`). Pure.

    Whoever could forge a payload would else have us send requests into our own network.
    """
    try:
        given, ours = urlsplit(url), urlsplit(api_url)
    except ValueError:
        return False
    if not given.netloc:
        return False
    slack = given.scheme == "https" and given.netloc in _HOOKS
    return slack or (given.scheme, given.netloc) == (ours.scheme, ours.netloc)


def _respond(url: str, message: Message) -> bool:
    """Use a response URL once; False when it is used up, too old or not reached.

    Source: https://docs.slack.dev/interactivity/handling-user-interaction
    """
    webhook = WebhookClient(url, timeout=_TIMEOUT_S, retry_handlers=[])
    if direct(urlsplit(url).hostname or ""):
        webhook.proxy = None
    body: dict[str, Any] = {"text": message.text, "response_type": "ephemeral", "replace_original": False}
    if message.blocks:
        body["blocks"] = message.blocks
    try:
        answer = webhook.send_dict(body)
    except (SlackClientError, OSError, ValueError) as error:
        log.info("response url not reached", error=type(error).__name__)
        return False
    return bool(answer.status_code == 200)
