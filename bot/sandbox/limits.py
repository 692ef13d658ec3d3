"""Slack's figures, in one place; the sources are named beside each group."""

from __future__ import annotations

from typing import Final

# https://docs.slack.dev/block-kit, https://docs.slack.dev/reference/block-kit/blocks
BLOCKS_PER_MESSAGE: Final = 50
BLOCKS_PER_VIEW: Final = 100
SECTION_TEXT: Final = 3000
SECTION_FIELDS: Final = 10
FIELD_TEXT: Final = 2000
HEADER_TEXT: Final = 150
CONTEXT_ELEMENTS: Final = 10
ACTIONS_ELEMENTS: Final = 25
MARKDOWN_TEXT: Final = 12_000
IMAGE_ALT: Final = 2000
IMAGE_TITLE: Final = 2000
IMAGE_URL: Final = 3000
TABLE_ROWS: Final = 100
TABLE_CELLS: Final = 20
ALERT_TEXT: Final = 200
BLOCK_ID: Final = 255
ACTION_ID: Final = 255
CALLBACK_ID: Final = 255
CONTAINER_BLOCKS: Final = 10
INPUT_LABEL: Final = 2000
INPUT_HINT: Final = 2000

# https://docs.slack.dev/reference/block-kit/block-elements
BUTTON_TEXT: Final = 75
BUTTON_VALUE: Final = 2000
BUTTON_URL: Final = 3000
ACCESSIBILITY_LABEL: Final = 75
PLACEHOLDER: Final = 150
INPUT_VALUE: Final = 3000

# https://docs.slack.dev/reference/block-kit/composition-objects
OPTION_TEXT: Final = 75
OPTION_VALUE: Final = 150
OPTION_DESCRIPTION: Final = 75
OPTIONS: Final = 100
OPTION_GROUPS: Final = 100
OVERFLOW_OPTIONS: Final = 5
FEW_OPTIONS: Final = 10  # checkboxes and radio buttons
CONFIRM_TITLE: Final = 100
CONFIRM_TEXT: Final = 300
CONFIRM_BUTTON: Final = 30

# https://docs.slack.dev/surfaces/modals
VIEW_TITLE: Final = 24
PRIVATE_METADATA: Final = 3000
VIEW_STACK: Final = 3

# https://docs.slack.dev/reference/methods/chat.postMessage and chat.update
POST_TEXT: Final = 40_000
UPDATE_TEXT: Final = 4000

# https://docs.slack.dev/interactivity/handling-user-interaction
ACK_S: Final = 3.0
TRIGGER_S: Final = 3.0
RESPONSE_URL_S: Final = 30 * 60
RESPONSE_URL_USES: Final = 5

# https://docs.slack.dev/apis/events-api and using-socket-mode
EVENT_RETRIES_S: Final = (0.0, 60.0, 300.0)
SOCKETS: Final = 10
SOCKET_WARNING_S: Final = 10.0

# https://docs.slack.dev/apis/web-api/rate-limits: calls per minute and method
TIERS: Final = {1: 1, 2: 20, 3: 50, 4: 100}
SPECIAL: Final = {"chat.postMessage": 300, "auth.test": 300, "apps.connections.open": 60}
METHOD_TIER: Final = {
    "chat.update": 3,
    "chat.delete": 3,
    "chat.postEphemeral": 4,
    "chat.getPermalink": 4,
    "conversations.info": 3,
    "conversations.list": 2,
    "conversations.members": 4,
    "conversations.open": 3,
    "users.info": 4,
    "users.list": 2,
    "users.lookupByEmail": 3,
    "usergroups.list": 2,
    "usergroups.users.list": 2,
    "views.open": 4,
    "views.update": 4,
    "views.push": 4,
    "views.publish": 4,
    "files.getUploadURLExternal": 4,
    "files.completeUploadExternal": 4,
    "reactions.add": 3,
    "reactions.remove": 2,
    "bots.info": 3,
    "team.info": 3,
}


def calls_per_minute(method: str) -> int:
    """Return how many calls of `method` a minute allows."""
    return SPECIAL.get(method) or TIERS[METHOD_TIER.get(method, 3)]


# One message a second and channel; a tenth of a second of jitter on the way is forgiven.
MESSAGE_INTERVAL_S: Final = 1.0
MESSAGE_JITTER_S: Final = 0.1
