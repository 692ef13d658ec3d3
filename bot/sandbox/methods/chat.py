"""`chat.*` and `reactions.*`."""

from __future__ import annotations

from bot.sandbox import limits, posting
from bot.sandbox.methods.call import Call, Method
from bot.sandbox.refusals import SlackError
from bot.sandbox.values import Channel, Json
from bot.sandbox.workspace import Message

_STRUCTURES = ("blocks", "attachments", "metadata")


def _content_args(call: Call) -> Json:
    return call.args | {key: call.structure(key) for key in _STRUCTURES if key in call.args}


def _postable(call: Call) -> Channel:
    channel = call.conversation()
    if channel.is_archived:
        raise SlackError("is_archived")
    member = call.workspace.app.bot_user in channel.members
    if not member and "chat:write.public" not in call.state.scopes:
        raise SlackError("not_in_channel")
    return channel


def post_message(call: Call) -> Json:
    """Post to a channel, a thread, or a person's DM; one message a second and channel."""
    channel = _postable(call)
    content = posting.content_of(_content_args(call))
    call.state.rates.message(channel.id, call.now)
    message = posting.post(call.state, channel, content, call.now, thread_ts=call.text("thread_ts") or None)
    return {"channel": channel.id, "ts": message.ts, "message": message.as_slack()}


def post_ephemeral(call: Call) -> Json:
    """Show a message to one member of a channel; it has no permanence and cannot be edited."""
    channel = _postable(call)
    person = call.person("user")
    if person.id not in channel.members:
        raise SlackError("user_not_in_channel")
    content = posting.content_of(_content_args(call))
    thread_ts = call.text("thread_ts") or None
    message = posting.post(call.state, channel, content, call.now, thread_ts=thread_ts, visible_to=person.id)
    return {"message_ts": message.ts}


def _own_message(call: Call, refused: str) -> Message:
    channel = call.conversation()
    message = call.workspace.message(channel.id, call.required("ts", "message_not_found"))
    if message is None or message.visible_to:
        raise SlackError("message_not_found")
    if message.author != call.workspace.app.bot_user:
        raise SlackError(refused)
    if channel.is_archived:
        raise SlackError("is_archived")
    return message


def update(call: Call) -> Json:
    """Replace a message of the app's own; blocks not sent along are removed."""
    message = _own_message(call, "cant_update_message")
    content = posting.content_of(_content_args(call), most=limits.UPDATE_TEXT, cut=False)
    posting.rewrite(call.state, message, content, call.now)
    return {"channel": message.channel, "ts": message.ts, "text": message.text, "message": message.as_slack()}


def delete(call: Call) -> Json:
    """Take away a message of the app's own."""
    message = _own_message(call, "cant_delete_message")
    call.workspace.remove(message)
    return {"channel": message.channel, "ts": message.ts}


def get_permalink(call: Call) -> Json:
    """Return an address that opens the message on the sandbox's page."""
    channel = call.conversation()
    ts = call.required("message_ts", "message_not_found")
    if call.workspace.message(channel.id, ts) is None:
        raise SlackError("message_not_found")
    link = f"{call.state.base_url}/archives/{channel.id}/p{ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


def _react(call: Call, *, add: bool) -> Json:
    message = call.workspace.message(call.conversation().id, call.required("timestamp", "message_not_found"))
    if message is None:
        raise SlackError("message_not_found")
    name = call.required("name", "invalid_name").strip(":")
    call.workspace.react(message, name, call.workspace.app.bot_user, add=add)
    return {}


METHODS = {
    "chat.postMessage": Method(post_message, ("chat:write",)),
    "chat.postEphemeral": Method(post_ephemeral, ("chat:write",)),
    "chat.update": Method(update, ("chat:write",)),
    "chat.delete": Method(delete, ("chat:write",)),
    "chat.getPermalink": Method(get_permalink),
    "reactions.add": Method(lambda call: _react(call, add=True), ("reactions:write",)),
    "reactions.remove": Method(lambda call: _react(call, add=False), ("reactions:write",)),
}
