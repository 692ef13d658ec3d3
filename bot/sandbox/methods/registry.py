"""Every Web API method the sandbox answers."""

from __future__ import annotations

from bot.sandbox.methods import chat, conversations, files, people, views
from bot.sandbox.methods.call import Method

METHODS: dict[str, Method] = chat.METHODS | conversations.METHODS | files.METHODS | people.METHODS | views.METHODS
