"""What people do, as Slack's own client would let them: type, press, choose, send, close, open the Home tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.sandbox import acks, payloads
from bot.sandbox.blocks import find_element
from bot.sandbox.delivery import Delivery
from bot.sandbox.envelopes import Envelope
from bot.sandbox.inputs import chosen, filled, state_key
from bot.sandbox.refusals import NotPossible, SlackError
from bot.sandbox.state import State
from bot.sandbox.values import Channel, Json, Person
from bot.sandbox.view_rules import submission_errors
from bot.sandbox.views import View
from bot.sandbox.workspace import Message


def outcome(envelope: Envelope, **extra: Any) -> Json:
    """Return the driver's `Outcome`."""
    acked = envelope.answer.done()
    seconds = envelope.acked_at - envelope.sent_at if envelope.acked_at and envelope.sent_at else None
    return {"acked": acked, "seconds": seconds, "response": envelope.answer.result() if acked else {}, **extra}


class Interactions:
    """People's hands. Each verb returns an outcome, or raises NotPossible for what Slack's client would not do."""

    def __init__(self, state: State, delivery: Delivery) -> None:
        self._state = state
        self._delivery = delivery

    # -- typing --------------------------------------------------------------------------------------------------------

    async def command(self, user: str, channel: str, text: str) -> Json:
        """Run a slash command; several words after it are its text."""
        person = self._actor(user)
        place = self._place(person, channel)
        name, _, rest = text.strip().partition(" ")
        command = next((c for c in self._state.workspace.app.commands if c.name == name.lower()), None)
        if command is None:
            raise NotPossible("no_such_command", f"{name} is not a command of this workspace.")
        rest = rest.strip()
        sent = payloads.escaped(self._state, rest) if command.should_escape else rest
        payload = payloads.command(self._state, person, place, command.name, sent)
        envelope = await self._delivery.interaction("slash_commands", payload, accepts_payload=True)
        if not envelope.answer.done():
            return outcome(envelope, message=f"{name} did not work: {self._silence(envelope)}")
        return self._settled(
            envelope, lambda: acks.answer_command(self._state, person.id, place.id, envelope.answer.result())
        )

    def say(self, user: str, channel: str, text: str, thread_ts: str | None) -> str:
        """Post an ordinary message and return its timestamp."""
        person = self._actor(user)
        place = self._place(person, channel)
        if place.is_archived:
            raise NotPossible("is_archived", "This channel is archived.")
        if not text.strip():
            raise NotPossible("no_text", "There is nothing to send.")
        workspace = self._state.workspace
        ts = workspace.timestamp(self._state.now())
        plain = payloads.escaped(self._state, text)
        workspace.post(Message(place.id, ts, person.id, plain, [], thread_ts=thread_ts))
        return ts

    # -- pressing ------------------------------------------------------------------------------------------------------

    async def click(self, user: str, body: Json) -> Json:
        """Use one element of a message (`channel`, `ts`) or a view (`view`)."""
        person = self._actor(user)
        if body.get("view"):
            return await self._click_in_view(person, self._view(person, body["view"]), body)
        channel = self._place(person, body["channel"])
        message = self._message(person, channel, body["ts"])
        block, element = self._element(message.blocks, body)
        used = payloads.action(self._state, block, element, self._choice(element, body))
        values = (
            {block["block_id"]: {element["action_id"]: self._choice(element, body)}}
            if state_key(element["type"])
            else {}
        )
        payload = payloads.message_action(self._state, person, channel, message, used, values)
        return self._told(await self._delivery.interaction("interactive", payload, accepts_payload=False))

    async def _click_in_view(self, person: Person, view: View, body: Json) -> Json:
        block, element = self._element(view.body["blocks"], body)
        choice = self._choice(element, body)
        if choice and element["type"] != "overflow":
            view.values.setdefault(block["block_id"], {})[element["action_id"]] = choice
        if body.get("values"):
            view.values = filled(view.body["blocks"], view.values, body["values"])
        if block["type"] == "input" and not block.get("dispatch_action"):
            return {"acked": True, "seconds": None}
        used = payloads.action(self._state, block, element, choice)
        payload = payloads.view_action(self._state, person, view, used)
        return self._told(await self._delivery.interaction("interactive", payload, accepts_payload=False))

    def _choice(self, element: Json, body: Json) -> Json:
        return chosen(element, body.get("value")) if state_key(element["type"]) else {}

    async def options(self, user: str, body: Json) -> Json:
        """Ask the app what to offer for the letters typed into an external select; it hears what else is filled in by then."""
        person = self._actor(user)
        if body.get("view"):
            view = self._view(person, body["view"])
            view.values = filled(view.body["blocks"], view.values, body.get("values") or {})
            blocks, where = view.body["blocks"], payloads.view_place(self._state, view)
        else:
            channel = self._place(person, body["channel"])
            message = self._message(person, channel, body["ts"])
            blocks, where = message.blocks, payloads.message_place(channel, message)
        block, element = self._element(blocks, body)
        if "external" not in element["type"]:
            raise NotPossible("no_type_ahead", "That menu has fixed options.")
        payload = payloads.suggestion(self._state, person, where, block, element, str(body.get("query", "")))
        envelope = await self._delivery.interaction("interactive", payload, accepts_payload=True)
        told = self._told(envelope)
        if told["acked"]:
            try:
                told["options"] = acks.offered_options(envelope.answer.result())
            except SlackError as error:
                self._app_error(error, told)
        return told

    # -- modals and Home -----------------------------------------------------------------------------------------------

    async def submit(self, user: str, body: Json) -> Json:
        """Send a modal; what Slack's client checks itself never reaches the app."""
        person = self._actor(user)
        view = self._view(person, body["view"])
        if "submit" not in view.body:
            raise NotPossible("no_submit", "This window has nothing to send.")
        view.values = filled(view.body["blocks"], view.values, body.get("values") or {})
        errors = submission_errors(view.body["blocks"], view.values)
        if errors:
            return {"acked": True, "seconds": None, "errors": errors}
        payload = payloads.submission(self._state, person, view)
        envelope = await self._delivery.interaction("interactive", payload, accepts_payload=True)
        told = self._told(envelope)
        if told["acked"]:
            try:
                told["errors"] = acks.answer_submission(self._state, view, envelope.answer.result())
            except SlackError as error:
                self._app_error(error, told)
        return told

    async def close_view(self, user: str, view_id: str, *, all_views: bool) -> Json:
        """Close a modal, or all of them; the app is told where it asked for that."""
        person = self._actor(user)
        view = self._view(person, view_id)
        cleared = all_views or bool(view.body.get("clear_on_close"))
        told: Json = {"acked": True, "seconds": None}
        for each in self._state.views.close(view, all_views=cleared):
            if each.body.get("notify_on_close"):
                payload = payloads.closed(self._state, person, each, cleared=cleared)
                told = self._told(await self._delivery.interaction("interactive", payload, accepts_payload=False))
        return told

    async def open_home(self, user: str) -> Json:
        """Open the app's Home tab; the app hears of it if it listens."""
        person = self._actor(user)
        channel = self._state.workspace.direct(person.id)
        event: Json = {"type": "app_home_opened", "user": person.id, "channel": channel.id, "tab": "home"}
        home = self._state.views.home(person.id)
        return await self.emit(event | ({"view": home} if home else {}))

    async def emit(self, event: Json) -> Json:
        """Deliver an event if the app listens to its type."""
        if event.get("type") not in self._state.workspace.app.events:
            return {"acked": False, "seconds": None, "message": f"The app does not listen to {event.get('type')}."}
        return outcome(self._delivery.event(payloads.event(self._state, event)))

    # -- what Slack's client checks ------------------------------------------------------------------------------------

    def _actor(self, user: str) -> Person:
        person = self._state.workspace.person(user)
        if person.deleted:
            raise NotPossible("account_inactive", f"{person.real_name} is deactivated and cannot do anything here.")
        if person.is_bot:
            raise NotPossible("is_bot", "An app cannot press its own buttons.")
        return person

    def _place(self, person: Person, which: str) -> Channel:
        channel = self._state.workspace.channel(which, seen_by=person)
        if not self._state.workspace.sees(person, channel):
            raise NotPossible("not_a_member", f"{person.real_name} does not see that channel.")
        return channel

    def _message(self, person: Person, channel: Channel, ts: str) -> Message:
        message = self._state.workspace.message(channel.id, ts)
        if message is None or message.visible_to not in (None, person.id):
            raise NotPossible("message_not_found", "That message is gone.")
        return message

    def _view(self, person: Person, view_id: str) -> View:
        try:
            view = self._state.views.find(view_id)
        except SlackError:
            raise NotPossible("view_not_found", "That window is closed.") from None
        if view.user != person.id:
            raise NotPossible("view_not_found", "That window belongs to somebody else.")
        return view

    def _element(self, blocks: list[Json], body: Json) -> tuple[Json, Json]:
        found = find_element(blocks, body["action_id"], body.get("block_id"))
        if found is None:
            raise NotPossible("no_such_element", f"There is no “{body['action_id']}” to press.")
        return found

    # -- what the person is told ---------------------------------------------------------------------------------------

    def _told(self, envelope: Envelope) -> Json:
        if envelope.answer.done():
            return outcome(envelope)
        return outcome(envelope, message=f"That did not work: {self._silence(envelope)}")

    def _settled(self, envelope: Envelope, settle: Callable[[], None]) -> Json:
        told = outcome(envelope)
        try:
            settle()
        except SlackError as error:
            self._app_error(error, told)
        return told

    def _app_error(self, error: SlackError, told: Json) -> None:
        told["message"] = f"{self._state.workspace.app.name} answered something that cannot be shown ({error.code})."
        told["response"] = told.get("response", {}) | {"rejected": error.as_json()}

    def _silence(self, envelope: Envelope) -> str:
        name = self._state.workspace.app.name
        if envelope.sent_at is None and not self._state.request_url:
            return f"{name} is not connected. Is the bot running?"
        return f"{name} did not answer within three seconds."
