"""Is an application well? Ask the page it names for that until it says so, or the time is up."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

_TRY_S = 5.0
_AGAIN_S = 0.5
_SHOWN_BYTES = 300


@dataclass(frozen=True, slots=True)
class Health:
    """What the page said last: `status` is HTTP's (None: no answer), `said` the beginning of its body or why none came."""

    ok: bool
    status: int | None
    said: str
    tries: int
    seconds: float


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leave 3xx as they are: a login page is no answer."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing."""


def wait_until_healthy(url: str, *, limit_s: float, wait: Callable[[float], bool]) -> Health:
    """GET `url` until it answers 2xx, for `limit_s` seconds; no proxy is used and no redirect followed.

    `wait(seconds)` sleeps, and returns True to give up early. Never raises for what the page does.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    began, tries = time.monotonic(), 0
    while True:
        tries += 1
        left_s = limit_s - (time.monotonic() - began)
        status, said = _ask(opener, url, min(_TRY_S, max(0.1, left_s)))
        seconds = time.monotonic() - began
        ok = status is not None and 200 <= status < 300
        if ok or seconds + _AGAIN_S > limit_s or wait(_AGAIN_S):
            return Health(ok, status, said, tries, seconds)


def _ask(opener: urllib.request.OpenerDirector, url: str, timeout_s: float) -> tuple[int | None, str]:
    try:
        with opener.open(url, timeout=timeout_s) as answer:  # the scheme was checked with the configuration
            return answer.status, _text(answer.read(_SHOWN_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _text(error.read(_SHOWN_BYTES))
    except urllib.error.URLError as error:
        return None, str(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return None, str(error) or type(error).__name__


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip()
