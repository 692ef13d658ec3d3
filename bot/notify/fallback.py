"""The fallback: one message to every configured address, over Apprise (https://github.com/caronc/apprise)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.errors import Unavailable, Usage
from bot.model.alerts import Severity
from bot.model.notices import Notice

if TYPE_CHECKING:
    from apprise import Apprise


class Fallback:
    """Sends notices. Addresses are secret: no error repeats one.

    Raises:
        Usage: apprise is not installed, or an address is none it knows; says which by its place in the list.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._apprise = _open(urls)
        self._count = len(urls)

    def send(self, notice: Notice) -> None:
        """Send one notice to every address. Slow: waits for each.

        Raises:
            Unavailable: an address did not take it; others may have.
        """
        kinds = {Severity.PAGE: "failure", Severity.WARN: "warning", Severity.INFO: "info"}
        sent = self._apprise.notify(
            title=f"Pitstop: {notice.title}", body=notice.body, notify_type=kinds[notice.severity], body_format="text"
        )
        if not sent:
            raise Unavailable(
                f"The fallback did not take “{notice.title}” at {'one of ' * (self._count > 1)}its {self._count} "
                f"address{'es' * (self._count > 1)}.",
                hint="Can this host reach them, and are their tokens still right?",
                code="fallback",
            )


def _open(urls: Sequence[str]) -> Apprise:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Apprise's own, on importing what it tries
        return _added(urls)


def _added(urls: Sequence[str]) -> Apprise:
    try:
        from apprise import Apprise
    except ModuleNotFoundError:
        raise Usage(
            "There are addresses to notify, and Apprise is not installed.",
            hint="pip install 'pitstop[notify]'",
            code="no-apprise",
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it repeats addresses, which are secret
    opened = Apprise()
    for number, url in enumerate(urls, 1):
        if not opened.add(url):
            raise Usage(
                f"The {number}. address to notify is none that Apprise knows.",
                hint="Write it like mailto://user:password@example.com or json://host/path, one a line.",
                code="bad-notify-url",
            )
    return opened
