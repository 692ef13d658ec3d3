"""Files: announced, sent, and shared in a conversation or thread.

Source: https://docs.slack.dev/reference/methods/files.completeUploadExternal
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from slack_sdk import WebClient

from bot.slack.client import TIMEOUT_S, SlackBusy, call, direct


@dataclass(frozen=True, slots=True)
class File:
    """A file to share; `alt` says what a picture shows, for those who do not see it."""

    name: str
    title: str
    content: bytes
    alt: str = ""


def share(client: WebClient, files: list[File], *, channel: str, comment: str, thread_ts: str | None = None) -> None:
    """Send files and share them in one message. Not idempotent: after a lost answer they may be there twice.

    Raises:
        SlackBusy: Slack is away or busy; `maybe_done` where they may have been shared.
        SlackAnswered: Slack said no.
    """
    sent = [{"id": _send(client, file), "title": file.title} for file in files]
    call(
        client,
        "files.completeUploadExternal",
        files=sent,
        channel_id=channel,
        initial_comment=comment,
        thread_ts=thread_ts,
    )


def _send(client: WebClient, file: File) -> str:
    """Announce one file and send its bytes; return its id. Until it is shared nobody sees it."""
    told = {"filename": file.name, "length": len(file.content), "alt_txt": file.alt[:1000] or None}
    answer = call(client, "files.getUploadURLExternal", http_verb="GET", **told)
    url = str(answer["upload_url"])
    if urlsplit(url).scheme != "https" and not direct(urlsplit(url).hostname or ""):
        raise SlackBusy("Slack named an upload address that is not encrypted.")
    request = Request(url, data=file.content, headers={"Content-Type": "application/octet-stream"})  # noqa: S310 - checked above
    try:
        with _opener(client, url).open(request, timeout=TIMEOUT_S * 3) as done:
            if done.status != 200:
                raise SlackBusy(f"Slack did not take the file {file.name}: {done.status}.")
    except (URLError, OSError) as error:
        raise SlackBusy(f"Slack did not take the file {file.name}: {type(error).__name__}.") from None
    return str(answer["file_id"])


class _NoRedirect(HTTPRedirectHandler):
    """Sends a file nowhere else than where Slack said."""

    def redirect_request(self, *_: object) -> None:
        return None


def _opener(client: WebClient, url: str) -> OpenerDirector:
    through = {} if direct(urlsplit(url).hostname or "") or not client.proxy else {"https": client.proxy}
    return build_opener(ProxyHandler(through), _NoRedirect)
