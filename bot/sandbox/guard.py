"""Keep other websites out: the names this server answers to, where requests may come from, and what pages may load."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_NAMES = {"127.0.0.1", "localhost"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_local_name(host: str, port: int) -> bool:
    """Say whether a Host header names this server; a rebound DNS name does not. The port may be missing (Socket Mode)."""
    name, _, given = host.partition(":")
    return name in _NAMES and given in {"", str(port)}


def is_own_origin(origin: str | None, host: str) -> bool:
    """Say whether a request comes from this server's own page, or from no page at all."""
    if origin is None:
        return True
    parts = urlsplit(origin)
    return parts.scheme == "http" and parts.netloc == host


def guard(port: Callable[[], int], token: str) -> Middleware:
    """Return the middleware; changes through the control API need `token`, which only our page and local programs can read."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if not is_local_name(host, port()):
            return _refused(421, "wrong_host", "This workspace answers to 127.0.0.1 and localhost only.")
        if not is_own_origin(request.headers.get("Origin"), host) or _is_cross_site(request):
            return _refused(403, "wrong_origin", "Another website may not use this workspace.")
        if request.path.startswith("/control/") and request.method != "GET" and not _has_token(request, token):
            return _refused(403, "wrong_token", "The page is from an earlier start. Reload it.")
        return await handler(request)

    return check


def _is_cross_site(request: web.Request) -> bool:
    """Links from elsewhere may open the page itself, nothing more."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    return site in {"cross-site", "same-site"} and request.headers.get("Sec-Fetch-Mode") != "navigate"


def _has_token(request: web.Request, token: str) -> bool:
    return hmac.compare_digest(request.headers.get("X-Sandbox-Token", "").encode(), token.encode())


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": code, "message": message}, status=status)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers to each response that has not its own."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
