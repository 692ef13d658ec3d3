"""`views.*`."""

from __future__ import annotations

from bot.sandbox.methods.call import Call, Method
from bot.sandbox.refusals import SlackError
from bot.sandbox.tickets import Trigger
from bot.sandbox.values import Json
from bot.sandbox.view_rules import require_view
from bot.sandbox.views import View


def _answer(call: Call, view: View) -> Json:
    return {"view": view.as_slack(call.workspace.team, call.workspace.app)}


def _trigger(call: Call) -> Trigger:
    return call.state.tickets.use_trigger(call.required("trigger_id", "invalid_trigger_id"), call.now)


def open_(call: Call) -> Json:
    """Open a modal for the person whose interaction made the trigger."""
    body = require_view(call.structure("view"))
    return _answer(call, call.state.views.open(_trigger(call).user, body))


def push(call: Call) -> Json:
    """Put a modal on top of the one the trigger came from."""
    body = require_view(call.structure("view"))
    trigger = _trigger(call)
    if trigger.view_id is None:
        raise SlackError("invalid_trigger_id")
    return _answer(call, call.state.views.push(trigger.user, body))


def update(call: Call) -> Json:
    """Replace what an open modal shows, if it is still the expected one."""
    found = call.state.views.find(call.text("view_id") or None, call.text("external_id") or None)
    body = require_view(call.structure("view"), home=found.body["type"] == "home")
    return _answer(call, call.state.views.update(found, body, call.text("hash") or None))


def publish(call: Call) -> Json:
    """Show a Home tab to one person."""
    person = call.person("user_id", "invalid_user_id")
    body = require_view(call.structure("view"), home=True)
    return _answer(call, call.state.views.publish(person.id, body, call.text("hash") or None))


METHODS = {
    "views.open": Method(open_),
    "views.push": Method(push),
    "views.update": Method(update),
    "views.publish": Method(publish),
}
