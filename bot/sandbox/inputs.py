"""Translate between what a person chose (a text, an option's value, a time) and Slack's `state.values`; pure."""

from __future__ import annotations

from typing import Any

from bot.sandbox.blocks import interactive
from bot.sandbox.refusals import NotPossible
from bot.sandbox.values import Json

_SINGLE = {
    "plain_text_input": "value",
    "number_input": "value",
    "email_text_input": "value",
    "url_text_input": "value",
    "rich_text_input": "rich_text_value",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "users_select": "selected_user",
    "channels_select": "selected_channel",
    "conversations_select": "selected_conversation",
    "multi_users_select": "selected_users",
    "multi_channels_select": "selected_channels",
    "multi_conversations_select": "selected_conversations",
    "file_input": "files",
}
_OPTION = {"static_select", "external_select", "radio_buttons", "overflow"}
_OPTIONS = {"multi_static_select", "multi_external_select", "checkboxes"}
_INITIAL = {
    "value": "initial_value",
    "selected_date": "initial_date",
    "selected_time": "initial_time",
    "selected_date_time": "initial_date_time",
    "selected_user": "initial_user",
    "selected_channel": "initial_channel",
    "selected_conversation": "initial_conversation",
    "selected_users": "initial_users",
    "selected_channels": "initial_channels",
    "selected_conversations": "initial_conversations",
    "rich_text_value": "initial_value",
    "selected_option": "initial_option",
    "selected_options": "initial_options",
}


def state_key(kind: str) -> str:
    """Return the key under which Slack reports what was chosen, or an empty string for a button."""
    if kind in _OPTION:
        return "selected_option"
    return "selected_options" if kind in _OPTIONS else _SINGLE.get(kind, "")


def chosen(element: Json, value: Any) -> Json:
    """Return Slack's state entry for `value`; options are given by their value or as option objects.

    Raises:
        NotPossible: code `no_such_option`.
    """
    kind = element["type"]
    key = state_key(kind)
    if kind in _OPTION:
        return {"type": kind, key: None if value in (None, "") else _option(element, value)}
    if kind in _OPTIONS:
        return {"type": kind, key: [_option(element, each) for each in value or ()]}
    if kind == "datetimepicker":
        return {"type": kind, key: None if value in (None, "") else int(value)}
    if key == "value":
        return {"type": kind, key: None if value in (None, "") else str(value)}
    return {"type": kind, key: value or ([] if kind.startswith("multi_") else None)}


def _option(element: Json, value: Any) -> Json:
    offered = [*element.get("options", [])]
    for group in element.get("option_groups", []):
        offered += group["options"]
    wanted = value.get("value") if isinstance(value, dict) else value
    for option in offered:
        if option["value"] == wanted:
            return dict(option)
    if "external" in element["type"]:
        if isinstance(value, dict):
            return dict(value)
        return {"text": {"type": "plain_text", "text": str(value)}, "value": str(value)}
    raise NotPossible("no_such_option", f"“{wanted}” is not offered there.")


def initial_state(blocks: list[Json]) -> Json:
    """Return `state.values` of a view nobody has touched."""
    values: Json = {}
    for block in blocks:
        for element in interactive(block):
            key = state_key(element["type"])
            if key and element["type"] != "overflow":
                empty: Any = [] if element["type"].startswith("multi_") or element["type"] in _OPTIONS else None
                entry = {"type": element["type"], key: element.get(_INITIAL.get(key, ""), empty)}
                values.setdefault(block["block_id"], {})[element["action_id"]] = entry
    return values


def filled(blocks: list[Json], before: Json, given: Json) -> Json:
    """Return `state.values` after a person entered `given`: by block id or action id, or `{block_id: {action_id: …}}`.

    Raises:
        NotPossible: code `no_such_field` or `no_such_option`.
    """
    values = {block_id: dict(entries) for block_id, entries in before.items()}
    used = set()
    for block in blocks:
        for element in interactive(block):
            found, value = _given_for(block["block_id"], element["action_id"], given)
            if found and state_key(element["type"]):
                used.add(found)
                values.setdefault(block["block_id"], {})[element["action_id"]] = chosen(element, value)
    unknown = sorted(set(given) - used)
    if unknown:
        raise NotPossible("no_such_field", f"The form has no field {', '.join(unknown)}.")
    return values


def _given_for(block_id: str, action_id: str, given: Json) -> tuple[str, Any]:
    if block_id in given:
        nested = given[block_id]
        if isinstance(nested, dict) and action_id in nested:
            return block_id, nested[action_id]
        if not isinstance(nested, dict) or "value" in nested:
            return block_id, nested
    return (action_id, given[action_id]) if action_id in given else ("", None)
