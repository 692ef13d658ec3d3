"""The app's side over HTTP: `/api/<method>`, response URLs, uploads and files."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from bot.sandbox import acks
from bot.sandbox.methods.call import Call, Method
from bot.sandbox.methods.files import content_type
from bot.sandbox.methods.registry import METHODS
from bot.sandbox.refusals import RateLimited, SlackError
from bot.sandbox.state import State
from bot.sandbox.values import Json

_SECRET_ARGUMENTS = {"token"}


class WebApi:
    """Answers the app: authenticate, fail on demand, count, check scopes, do."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add_routes(self, app: web.Application) -> None:
        """Register everything an app calls."""
        app.router.add_route("*", "/api/{method}", self.call)
        app.router.add_post("/response/{secret}", self.respond)
        app.router.add_post("/upload/{id}/{secret}", self.upload)
        app.router.add_get("/files/{id}/{secret}", self.download)

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Answer one method call."""
        name = request.match_info["method"]
        args = await _arguments(request)
        faults = self._state.faults
        if slow := faults.take("slow", name):
            await asyncio.sleep(float(slow["seconds"]))
        if failing := faults.take("error", name):
            return web.Response(status=int(failing["status"]), text="the sandbox was asked to fail")
        if limited := faults.take("rate_limited", name):
            return _limited(int(limited["retry_after"]))
        refused = faults.take("api_error", name)
        if refused and not refused["after"]:
            return self._answer(name, args, {"ok": False, "error": refused["error"]})
        try:
            told = self._do(request, name, args)
        except RateLimited as limit:
            self._log(name, args, {"ok": False, "error": "ratelimited"})
            return _limited(limit.retry_after_s)
        if refused:
            told = {"ok": False, "error": refused["error"]}
        if faults.take("lose_answer", name):
            self._log(name, args, told)
            return _lost(request)
        return self._answer(name, args, told)

    def _do(self, request: web.Request, name: str, args: Json) -> Json:
        try:
            if name == "apps.connections.open":
                return {"ok": True} | self._connection(request, args)
            method = METHODS.get(name)
            if method is None:
                raise SlackError("unknown_method", req_method=name)
            self._authenticate(request, args, self._state.secrets.bot_token)
            self._check_scope(method)
            now = self._state.now()
            self._state.rates.call(name, now)
            return {"ok": True} | method.answer(Call(self._state, args, now))
        except SlackError as error:
            return error.as_json()

    def _authenticate(self, request: web.Request, args: Json, wanted: str) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token if scheme.lower() == "bearer" else str(args.get("token", ""))
        if not token:
            raise SlackError("not_authed")
        if token != wanted:
            app_level = token == self._state.secrets.app_token or wanted == self._state.secrets.app_token
            raise SlackError("not_allowed_token_type" if app_level else "invalid_auth")
        if self._state.revoked:
            raise SlackError("token_revoked")

    def _check_scope(self, method: Method) -> None:
        granted = self._state.scopes
        if method.scopes and not set(method.scopes) & set(granted):
            raise SlackError("missing_scope", needed=method.scopes[0], provided=",".join(granted))

    def _connection(self, request: web.Request, args: Json) -> Json:
        self._authenticate(request, args, self._state.secrets.app_token)
        if self._state.faults.sockets_refused:
            raise SlackError("internal_error")
        self._state.rates.call("apps.connections.open", self._state.now())
        base = self._state.base_url.replace("http://", "ws://", 1)
        return {"url": f"{base}/link?ticket={self._state.tickets.socket()}&app_id={self._state.workspace.app.id}"}

    def _answer(self, name: str, args: Json, told: Json) -> web.Response:
        self._log(name, args, told)
        response = web.json_response(told)
        response.headers["x-oauth-scopes"] = ",".join(self._state.scopes)
        method = METHODS.get(name)
        if method:
            response.headers["x-accepted-oauth-scopes"] = ",".join(method.scopes)
        return response

    def _log(self, name: str, args: Json, told: Json) -> None:
        shown = {key: value for key, value in args.items() if key not in _SECRET_ARGUMENTS}
        entry = {"method": name, "args": shown, "at": self._state.now()}
        self._state.calls.append(entry | {"ok": told["ok"], "error": told.get("error", "")})

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Take what an app sends to a response URL: five times within thirty minutes."""
        faults = self._state.faults
        if failing := faults.take("error", "response_url"):
            return web.Response(status=int(failing["status"]), text="the sandbox was asked to fail")
        body = await _arguments(request)
        try:
            ticket = self._state.tickets.use_response_url(request.match_info["secret"], self._state.now())
            acks.use_response_url(self._state, ticket, body)
        except SlackError as error:
            self._log("response_url", body, error.as_json())
            return web.json_response(error.as_json(), status=404 if error.code == "used_url" else 400)
        self._log("response_url", body, {"ok": True})
        if faults.take("lose_answer", "response_url"):
            return _lost(request)
        return web.Response(text="ok")

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take the bytes of an announced file."""
        upload = self._state.uploads.get(request.match_info["id"])
        if upload is None or upload.secret != request.match_info["secret"] or upload.content is not None:
            raise web.HTTPNotFound(text="no such upload")
        content = await _file_content(request)
        if len(content) != upload.length:
            raise web.HTTPBadRequest(text=f"announced {upload.length} bytes, got {len(content)}")
        upload.content = content
        return web.Response(text=f"OK - {len(content)}")

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Serve a shared file; only pictures are shown, everything else is saved."""
        upload = self._state.uploads.get(request.match_info["id"])
        if upload is None or upload.secret != request.match_info["secret"] or not upload.shared:
            raise web.HTTPNotFound(text="no such file")
        kind = content_type(upload.name)
        headers = {"Content-Type": kind, "Content-Security-Policy": "default-src 'none'; sandbox"}
        if not kind.startswith("image/"):
            headers["Content-Disposition"] = "attachment"
        return web.Response(body=upload.content, headers=headers)


def _limited(retry_after_s: int) -> web.Response:
    headers = {"Retry-After": str(retry_after_s)}
    return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)


def _lost(request: web.Request) -> web.StreamResponse:
    """Cut the connection after the work is done: the app never learns that it succeeded."""
    if request.transport:
        request.transport.abort()
    return web.Response(status=500)


async def _arguments(request: web.Request) -> Json:
    given: Json = dict(request.query)
    if request.method != "POST":
        return given
    if request.content_type == "application/json":
        body = await request.text()
        return given | (_parsed(body) if body.strip() else {})
    return given | {key: value for key, value in (await request.post()).items() if isinstance(value, str)}


def _parsed(body: str) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        raise web.HTTPBadRequest(text='{"ok":false,"error":"invalid_json"}', content_type="application/json") from None
    return told if isinstance(told, dict) else {}


async def _file_content(request: web.Request) -> bytes:
    if request.content_type == "multipart/form-data":
        for field in (await request.post()).values():
            if isinstance(field, web.FileField):
                return field.file.read()
        return b""
    return await request.read()
