"""The Slack app's manifest: the fewest scopes that do the work, and no right to read what people write.

Source: https://docs.slack.dev/reference/app-manifest
"""

from __future__ import annotations

from typing import Any

SCOPES = (
    "commands",
    "chat:write",
    "im:write",
    "users:read",
    "usergroups:read",
    "channels:read",
    "groups:read",
    "files:write",
)
"""commands; post and edit; open DMs; who somebody is; who is in a group; where the channels are, public and private; runbooks and
charts."""

COMMANDS = (
    ("/backup", "How safe is the database? Back it up now", "[now CLUSTER | list CLUSTER | help]"),
    (
        "/restore",
        "Bring a database or tables back out of a backup, beside the live ones",
        "[CLUSTER BACKUP into NAME reason: …]",
    ),
    ("/pitr", "Go back to a point in time, beside the live database", "[CLUSTER TARGET reason: …]"),
)


def manifest(*, request_url: str = "") -> dict[str, Any]:
    """Return the manifest; with `request_url` (HTTPS) for signed HTTP, without it for Socket Mode."""
    return {
        "display_information": {
            "name": "Pitstop",
            "description": "Keeps PostgreSQL recoverable: backups, and restores that a second person approves",
            "background_color": "#1f3a2e",
        },
        "features": {
            "bot_user": {"display_name": "Pitstop", "always_online": True},
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "slash_commands": [_command(*command, request_url) for command in COMMANDS],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "socket_mode_enabled": not request_url,
            "interactivity": _interactivity(request_url),
            "event_subscriptions": _events(request_url),
            "org_deploy_enabled": False,
            "token_rotation_enabled": False,
        },
    }


def _command(name: str, description: str, hint: str, request_url: str) -> dict[str, Any]:
    command = {"command": name, "description": description, "usage_hint": hint, "should_escape": False}
    return {**command, "url": request_url} if request_url else command


def _events(request_url: str) -> dict[str, Any]:
    events = {"bot_events": ["app_home_opened"]}
    return {**events, "request_url": request_url} if request_url else events


def _interactivity(request_url: str) -> dict[str, Any]:
    if not request_url:
        return {"is_enabled": True}
    return {"is_enabled": True, "request_url": request_url, "message_menu_options_url": request_url}
