"""Check interactive elements against Slack's rules; pure.

Source: https://docs.slack.dev/reference/block-kit/block-elements
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.sandbox import limits
from bot.sandbox.findings import Findings
from bot.sandbox.values import Json

TEXTS = ("plain_text", "mrkdwn")


def check_element(element: Any, path: str, findings: Findings, allowed: frozenset[str]) -> None:
    """Record what is wrong with one element that must be of a type in `allowed`."""
    if not findings.mapping(element, path):
        return
    kind = element.get("type")
    if kind not in allowed:
        findings.add(f"unsupported type: {kind}", f"{path}/type")
        return
    findings.string(element, "action_id", path, limits.ACTION_ID)
    findings.text(element, "placeholder", path, limits.PLACEHOLDER)
    if "confirm" in element:
        _confirm(element["confirm"], f"{path}/confirm", findings)
    check = _CHECKS.get(kind)
    if check:
        check(element, path, findings)


def check_options(
    options: Any, path: str, findings: Findings, most: int, kinds: tuple[str, ...] = ("plain_text",)
) -> None:
    """Record what is wrong with a list of options."""
    for index, option in enumerate(findings.items(options, path, most)):
        place = f"{path}/{index}"
        if findings.mapping(option, place):
            findings.text(option, "text", place, limits.OPTION_TEXT, kinds=kinds, required=True)
            findings.string(option, "value", place, limits.OPTION_VALUE, required=True)
            findings.text(option, "description", place, limits.OPTION_DESCRIPTION, kinds=kinds)


def check_groups(groups: Any, path: str, findings: Findings) -> None:
    """Record what is wrong with a list of option groups."""
    for index, group in enumerate(findings.items(groups, path, limits.OPTION_GROUPS)):
        place = f"{path}/{index}"
        if findings.mapping(group, place):
            findings.text(group, "label", place, limits.OPTION_TEXT, required=True)
            check_options(group.get("options"), f"{place}/options", findings, limits.OPTIONS)


def _confirm(confirm: Any, path: str, findings: Findings) -> None:
    if not findings.mapping(confirm, path):
        return
    findings.text(confirm, "title", path, limits.CONFIRM_TITLE, required=True)
    findings.text(confirm, "text", path, limits.CONFIRM_TEXT, kinds=TEXTS, required=True)
    findings.text(confirm, "confirm", path, limits.CONFIRM_BUTTON, required=True)
    findings.text(confirm, "deny", path, limits.CONFIRM_BUTTON, required=True)
    findings.choice(confirm, "style", path, ("primary", "danger"))


def _button(element: Json, path: str, findings: Findings) -> None:
    findings.text(element, "text", path, limits.BUTTON_TEXT, required=True)
    findings.string(element, "value", path, limits.BUTTON_VALUE)
    findings.string(element, "url", path, limits.BUTTON_URL)
    findings.string(element, "accessibility_label", path, limits.ACCESSIBILITY_LABEL)
    findings.choice(element, "style", path, ("primary", "danger"))


def _static_select(element: Json, path: str, findings: Findings) -> None:
    if ("options" in element) == ("option_groups" in element):
        findings.add("must have either options or option_groups", path)
    elif "options" in element:
        check_options(element["options"], f"{path}/options", findings, limits.OPTIONS)
        _initial_is_offered(element, path, findings)
    else:
        check_groups(element["option_groups"], f"{path}/option_groups", findings)


def _initial_is_offered(element: Json, path: str, findings: Findings) -> None:
    offered = element["options"] if isinstance(element["options"], list) else []
    initial = element.get("initial_option")
    if initial is not None and initial not in offered:
        findings.add("initial_option must exactly match one of the options", f"{path}/initial_option")


def _few(element: Json, path: str, findings: Findings) -> None:
    check_options(element.get("options"), f"{path}/options", findings, limits.FEW_OPTIONS, TEXTS)


def _overflow(element: Json, path: str, findings: Findings) -> None:
    check_options(element.get("options"), f"{path}/options", findings, limits.OVERFLOW_OPTIONS)


def _datetime(element: Json, path: str, findings: Findings) -> None:
    initial = element.get("initial_date_time")
    if initial is not None and not (isinstance(initial, int) and len(str(initial)) == 10):
        findings.add("must be a UNIX time of 10 digits", f"{path}/initial_date_time")


def _text_input(element: Json, path: str, findings: Findings) -> None:
    findings.string(element, "initial_value", path, limits.INPUT_VALUE)
    findings.flag(element, "multiline", path)
    for key in ("min_length", "max_length"):
        if key in element and not (isinstance(element[key], int) and 0 <= element[key] <= limits.INPUT_VALUE):
            findings.add(f"must be between 0 and {limits.INPUT_VALUE}", f"{path}/{key}")


def _number(element: Json, path: str, findings: Findings) -> None:
    if not isinstance(element.get("is_decimal_allowed"), bool):
        findings.add("missing required field: is_decimal_allowed", path)


def _image(element: Json, path: str, findings: Findings) -> None:
    check_picture(element, path, findings)


def check_picture(owner: Json, path: str, findings: Findings) -> None:
    """Record what is wrong with the source and the alternative text of an image block or element."""
    findings.string(owner, "alt_text", path, limits.IMAGE_ALT, required=True)
    findings.string(owner, "image_url", path, limits.IMAGE_URL)
    if ("image_url" in owner) == ("slack_file" in owner):
        findings.add("must have either image_url or slack_file", path)


_CHECKS: dict[str, Callable[[Json, str, Findings], None]] = {
    "button": _button,
    "static_select": _static_select,
    "multi_static_select": _static_select,
    "checkboxes": _few,
    "radio_buttons": _few,
    "overflow": _overflow,
    "datetimepicker": _datetime,
    "plain_text_input": _text_input,
    "number_input": _number,
    "image": _image,
}

_SELECTS = frozenset(
    f"{many}{kind}_select"
    for many in ("", "multi_")
    for kind in ("static", "external", "users", "conversations", "channels")
)
_PICKERS = frozenset({"datepicker", "timepicker", "datetimepicker"})
_CHOICES = frozenset({"checkboxes", "radio_buttons"})
IN_ACTIONS = _SELECTS | _PICKERS | _CHOICES | {"button", "overflow", "workflow_button", "rich_text_input"}
IN_SECTION = IN_ACTIONS | {"image"}
IN_INPUT = (
    _SELECTS
    | _PICKERS
    | _CHOICES
    | {"plain_text_input", "number_input", "email_text_input", "url_text_input", "rich_text_input", "file_input"}
)
IN_CONTEXT_ACTIONS = frozenset({"feedback_buttons", "icon_button"})
