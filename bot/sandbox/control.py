"""The people's side over HTTP: what the page and the driver read, do and follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bot.sandbox import transcripts
from bot.sandbox.delivery import Delivery
from bot.sandbox.interactions import Interactions
from bot.sandbox.refusals import NotPossible
from bot.sandbox.snapshot import snapshot, try_panel
from bot.sandbox.state import State
from bot.sandbox.values import Json, Step, TryThis

Verb = Callable[[Json], Awaitable[Json]]
LONGEST_WAIT_S = 30.0
KEEPALIVE_S = 15.0


class Control:
    """Reads are GET, changes are POST; `refusals` become `{"error", "message"}` with status 409."""

    def __init__(self, state: State, delivery: Delivery) -> None:
        self._state = state
        self._delivery = delivery
        self._hands = Interactions(state, delivery)
        self._followers: set[asyncio.Event] = set()
        self._ending = False
        self._reads: dict[str, Verb] = {
            "session": self._session,
            "state": self._snapshot,
            "sequence": self._sequence,
            "messages": self._messages,
            "dm": self._dm,
            "ephemerals": self._ephemerals,
            "views": self._views,
            "transcript": self._transcript,
            "sockets": self._sockets,
            "deliveries": self._deliveries,
            "calls": self._calls,
        }
        self._writes: dict[str, Verb] = {
            "command": self._command,
            "say": self._say,
            "click": lambda body: _wrapped(self._hands.click(body["user"], body)),
            "options": lambda body: _wrapped(self._hands.options(body["user"], body)),
            "submit": lambda body: _wrapped(self._hands.submit(body["user"], body)),
            "close_view": self._close_view,
            "open_home": lambda body: _wrapped(self._hands.open_home(body["user"])),
            "emit": lambda body: _wrapped(self._hands.emit(body["event"])),
            "fault": self._fault,
            "change_person": self._change_person,
            "change_channel": self._change_channel,
            "change_group": self._change_group,
            "change_app": self._change_app,
            "advance": self._advance,
            "try_this": self._try_this,
            "act": self._act,
        }

    def add_routes(self, app: web.Application) -> None:
        """Register the control API; its streams end with the application."""
        app.on_shutdown.append(self._end_streams)
        app.router.add_get("/control/events", self.events)
        app.router.add_get("/control/{verb}", self.read)
        app.router.add_post("/control/{verb}", self.write)

    async def read(self, request: web.Request) -> web.Response:
        """Answer a GET."""
        return await self._run(self._reads, request, dict(request.query))

    async def write(self, request: web.Request) -> web.Response:
        """Answer a POST."""
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return _refusal("invalid_json", "The body must be a JSON object.", 400)
        return await self._run(self._writes, request, body)

    async def _run(self, verbs: dict[str, Verb], request: web.Request, body: Json) -> web.Response:
        verb = verbs.get(request.match_info["verb"])
        if verb is None:
            return _refusal("no_such_verb", f"There is nothing called {request.match_info['verb']}.", 404)
        try:
            return web.json_response(await verb(body))
        except NotPossible as refusal:
            return _refusal(refusal.code, refusal.message, 409)
        except (KeyError, TypeError, ValueError) as error:
            return _refusal("invalid_arguments", f"{type(error).__name__}: {error}", 400)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _session(self, _body: Json) -> Json:
        return {"token": self._state.secrets.page_token}

    async def _snapshot(self, body: Json) -> Json:
        return snapshot(self._state, self._state.workspace.person(body["user"]), len(self._delivery.sockets.live))

    async def _sequence(self, body: Json) -> Json:
        """Return the number of the last change; with `after`, wait for a later one."""
        changes = self._state.workspace.changes
        if "after" in body and changes.sequence <= int(body["after"]):
            changed = asyncio.Event()
            stop = changes.watch(changed.set)
            try:
                async with asyncio.timeout(min(float(body.get("wait", 0)), LONGEST_WAIT_S)):
                    await changed.wait()
            except TimeoutError:
                pass  # nothing changed in time: the answer says so by its number
            finally:
                stop()
        return {"sequence": changes.sequence}

    async def _messages(self, body: Json) -> Json:
        channel = self._state.workspace.channel(body["channel"])
        return {"messages": [m.as_page() for m in self._state.workspace.visible(channel.id)]}

    async def _dm(self, body: Json) -> Json:
        workspace = self._state.workspace
        channel = workspace.direct(workspace.person(body["user"]).id)
        return {"messages": [m.as_page() for m in workspace.visible(channel.id)]}

    async def _ephemerals(self, body: Json) -> Json:
        workspace = self._state.workspace
        person = workspace.person(body["user"])
        channel = workspace.channel(body["channel"], seen_by=person)
        mine = [m for m in workspace.visible(channel.id, person) if m.visible_to]
        return {"messages": [m.as_page() for m in mine]}

    async def _views(self, body: Json) -> Json:
        user = self._state.workspace.person(body["user"]).id
        return {"views": self._state.views.shown(user), "home": self._state.views.home(user)}

    async def _transcript(self, body: Json) -> Json:
        return {"text": transcripts.of_workspace(self._state, int(body.get("limit", 20)))}

    async def _sockets(self, _body: Json) -> Json:
        return {"sockets": len(self._delivery.sockets.live)}

    async def _deliveries(self, _body: Json) -> Json:
        return {"deliveries": [envelope.as_json() for envelope in self._delivery.log]}

    async def _calls(self, body: Json) -> Json:
        wanted = body.get("method")
        return {"calls": [call for call in self._state.calls if not wanted or call["method"] == wanted]}

    # -- following -----------------------------------------------------------------------------------------------------

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Stream what changes for one person as server-sent events; `reset` says that too much was missed."""
        user = self._state.workspace.person(request.query.get("user", "")).id
        changes = self._state.workspace.changes
        after = int(request.headers.get("Last-Event-ID") or request.query.get("after") or changes.sequence)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b": hello\n\n")
        changed = asyncio.Event()
        stop = changes.watch(changed.set)
        self._followers.add(changed)
        try:
            while not self._ending:
                after = await self._send_changes(stream, user, after)
                await _wait_briefly(changed, stream)
                changed.clear()
        except ConnectionError:
            pass  # the page went away
        finally:
            self._followers.discard(changed)
            stop()
        return stream

    async def _end_streams(self, _app: web.Application) -> None:
        """Let every stream end at once: nobody should wait for a page that is still open."""
        self._ending = True
        for changed in tuple(self._followers):
            changed.set()

    async def _send_changes(self, stream: web.StreamResponse, user: str, after: int) -> int:
        changes = self._state.workspace.changes
        latest = changes.sequence
        missed = changes.since(after)
        if missed is None or after > latest:
            await stream.write(f'id: {latest}\ndata: {{"kind": "reset"}}\n\n'.encode())
            return latest
        for change in missed:
            if change.concerns(user):
                told = json.dumps({"kind": change.kind, "data": change.data})
                await stream.write(f"id: {change.sequence}\ndata: {told}\n\n".encode())
        return latest

    # -- doing ---------------------------------------------------------------------------------------------------------

    async def _command(self, body: Json) -> Json:
        return await _wrapped(self._hands.command(body["user"], body["channel"], body["text"]))

    async def _say(self, body: Json) -> Json:
        return {"ts": self._hands.say(body["user"], body["channel"], body["text"], body.get("thread_ts"))}

    async def _close_view(self, body: Json) -> Json:
        return await _wrapped(self._hands.close_view(body["user"], body["view"], all_views=bool(body.get("all"))))

    async def _fault(self, body: Json) -> Json:
        name = body["name"]
        args = self._state.faults.add(name, body.get("args") or {})
        if name == "none":
            self._state.faults.clear()
            self._state.rates.enabled = True
        elif name == "rate_limits":
            self._state.rates.enabled = bool(args["enabled"])
        elif name == "refuse_sockets":
            self._state.faults.sockets_refused = bool(args["enabled"])
        elif name == "refresh":
            await self._delivery.sockets.refresh(str(args["reason"]), float(args["linger"]))
        elif name == "disconnect":
            await self._delivery.sockets.drop()
        return {}

    async def _change_person(self, body: Json) -> Json:
        workspace = self._state.workspace
        person = workspace.change_person(workspace.person(body["user"]), body["facts"])
        user = {"id": person.id, "team_id": person.team_id or workspace.team.id, "deleted": person.deleted}
        await self._hands.emit({"type": "user_change", "user": user})
        return {}

    async def _change_channel(self, body: Json) -> Json:
        workspace = self._state.workspace
        workspace.change_channel(workspace.channel(body["channel"]), body["facts"])
        return {}

    async def _change_group(self, body: Json) -> Json:
        workspace = self._state.workspace
        group = workspace.change_group(workspace.group(body["group"]), body.get("members"), body.get("disabled"))
        event = {"type": "subteam_members_changed", "subteam_id": group.id, "team_id": workspace.team.id}
        await self._hands.emit(event)
        return {}

    async def _change_app(self, body: Json) -> Json:
        facts: dict[str, Any] = dict(body["facts"])
        state = self._state
        state.scopes = tuple(facts.pop("scopes", state.scopes))
        state.request_url = str(facts.pop("request_url", state.request_url))
        state.revoked = bool(facts.pop("revoked", state.revoked))
        if facts:
            raise NotPossible("no_such_fact", f"The app has no {', '.join(sorted(facts))}.")
        return {}

    async def _advance(self, body: Json) -> Json:
        self._state.clock.offset_s += float(body["seconds"])
        return {"now": self._state.now()}

    async def _try_this(self, body: Json) -> Json:
        steps = tuple(Step(**step) for step in body["steps"])
        self._state.try_this = TryThis(body["title"], body.get("intro", ""), steps)
        self._state.workspace.changes.note("try_this", try_panel(self._state))
        return {}

    async def _act(self, body: Json) -> Json:
        action = next((each for each in self._state.actions if each.id == body["id"]), None)
        if action is None:
            raise NotPossible("no_such_action", f"There is no button “{body['id']}”.")
        try:
            said = await asyncio.to_thread(action.run)
        except Exception as error:
            raise NotPossible("action_failed", f"{action.label}: {error}") from error
        return {"message": said or ""}


async def _wrapped(work: Awaitable[Json]) -> Json:
    return {"outcome": await work}


async def _wait_briefly(changed: asyncio.Event, stream: web.StreamResponse) -> None:
    """Wait for a change; now and then send a comment so that a closed page is noticed."""
    try:
        async with asyncio.timeout(KEEPALIVE_S):
            await changed.wait()
    except TimeoutError:
        await stream.write(b": still here\n\n")


def _refusal(code: str, message: str, status: int) -> web.Response:
    return web.json_response({"error": code, "message": message}, status=status)
