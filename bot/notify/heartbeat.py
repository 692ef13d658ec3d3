"""The heartbeat: an address is fetched while the bot is well, so that its silence is noticed outside."""

from __future__ import annotations

import urllib.error
import urllib.request

from bot.errors import Unavailable

WITHIN_S = 10.0


def beat(url: str) -> None:
    """Fetch the address once.

    Raises:
        Unavailable: it did not answer within 10 s, or not with success. The address, which may be secret, is not repeated.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "pitstop"})  # noqa: S310 - http(s), by the configuration
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310
            answer.read(1024)
    except (urllib.error.URLError, OSError, ValueError) as error:
        why = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
        raise Unavailable(f"The heartbeat was not taken: {why}.", hint="Is monitor.heartbeat_url right?") from None
