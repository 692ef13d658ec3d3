"""Signed HTTP delivery: what Slack posts to an app's request URL, and what it makes of the answer.

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.parse

import aiohttp

from bot.sandbox import limits
from bot.sandbox.envelopes import Envelope
from bot.sandbox.state import State
from bot.sandbox.values import Json


def signature(secret: str, timestamp: str, body: str) -> str:
    """Return the value of `X-Slack-Signature`."""
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256)
    return f"v0={digest.hexdigest()}"


def encoded(envelope: Envelope) -> tuple[str, str]:
    """Return body and content type: events as JSON, commands as a form, interactions as a form with `payload`."""
    if envelope.kind == "events_api":
        return json.dumps(envelope.payload), "application/json"
    form = envelope.payload if envelope.kind == "slash_commands" else {"payload": json.dumps(envelope.payload)}
    return urllib.parse.urlencode(form), "application/x-www-form-urlencoded"


class SignedHttp:
    """Posts envelopes to the request URL; a 2xx within three seconds is the acknowledgement."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._session: aiohttp.ClientSession | None = None

    async def send(self, envelope: Envelope) -> None:
        """Post once."""
        body, content_type = encoded(envelope)
        timestamp = str(int(self._state.now()))
        headers = {
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signature(self._state.secrets.signing_secret, timestamp, body),
            "User-Agent": "Slackbot 1.0 (sandbox)",
        }
        if envelope.attempt:
            headers |= {"X-Slack-Retry-Num": str(envelope.attempt), "X-Slack-Retry-Reason": envelope.reason}
        envelope.sent()
        try:
            async with self._open().post(self._state.request_url, data=body.encode(), headers=headers) as answer:
                if 200 <= answer.status < 300:
                    envelope.acked(_payload(await answer.text()))
        except (TimeoutError, aiohttp.ClientError):
            return  # no acknowledgement; the person is told by its clock

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=limits.ACK_S)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self._session

    async def close(self) -> None:
        """End the session."""
        if self._session:
            await self._session.close()


def _payload(text: str) -> Json:
    try:
        told = json.loads(text)
    except ValueError:
        return {"text": text} if text.strip() else {}
    return told if isinstance(told, dict) else {}
