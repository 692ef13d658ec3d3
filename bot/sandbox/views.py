"""Open modals and Home tabs: stacks of at most three, hashes against lost updates; no clock, no I/O."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from bot.sandbox import limits
from bot.sandbox.blocks import name_blocks
from bot.sandbox.changes import Changes
from bot.sandbox.inputs import initial_state
from bot.sandbox.refusals import SlackError
from bot.sandbox.values import App, Json, Team


@dataclass(slots=True)
class View:
    """One modal or Home tab as it stands now."""

    id: str
    user: str
    body: Json
    hash: str
    values: Json
    root_id: str
    previous_id: str | None = None

    def as_slack(self, team: Team, app: App) -> Json:
        """Return the view as payloads and answers show it."""
        body = self.body
        return {
            "id": self.id,
            "team_id": team.id,
            "type": body["type"],
            "title": body.get("title"),
            "submit": body.get("submit"),
            "close": body.get("close"),
            "blocks": body["blocks"],
            "private_metadata": body.get("private_metadata", ""),
            "callback_id": body.get("callback_id", ""),
            "external_id": body.get("external_id", ""),
            "state": {"values": self.values},
            "hash": self.hash,
            "clear_on_close": bool(body.get("clear_on_close")),
            "notify_on_close": bool(body.get("notify_on_close")),
            "root_view_id": self.root_id,
            "previous_view_id": self.previous_id,
            "app_id": app.id,
            "app_installed_team_id": team.id,
            "bot_id": app.bot_id,
        }


@dataclass(slots=True)
class Views:
    """Each person's stack of modals and Home tab."""

    team: Team
    app: App
    changes: Changes
    stacks: dict[str, list[View]] = field(default_factory=dict)
    homes: dict[str, View] = field(default_factory=dict)
    counter: int = 0

    def open(self, user: str, body: Json) -> View:
        """Open a modal as a new stack; what was open goes away."""
        self._check_external_id(body)
        view = self._made(user, body)
        self.stacks[user] = [view]
        return self._noted(view)

    def push(self, user: str, body: Json) -> View:
        """Put a modal on top of the stack. Raises SlackError `push_limit_reached` at the fourth."""
        stack = self.stacks.get(user, [])
        if not stack:
            raise SlackError("not_found")
        if len(stack) >= limits.VIEW_STACK:
            raise SlackError("push_limit_reached")
        self._check_external_id(body)
        view = self._made(user, body)
        view.root_id, view.previous_id = stack[0].id, stack[-1].id
        stack.append(view)
        return self._noted(view)

    def update(self, view: View, body: Json, expected_hash: str | None = None) -> View:
        """Replace what a view shows; what was entered stays where block and action ids stay.

        Raises:
            SlackError: `hash_conflict` when the view is no longer the expected one.
        """
        if expected_hash is not None and expected_hash != view.hash:
            raise SlackError("hash_conflict")
        self._check_external_id(body, but=view)
        before = view.values
        view.body = body | {"blocks": name_blocks(body["blocks"], _new_id)}
        view.values = _kept(initial_state(view.body["blocks"]), before)
        view.hash = self._hash()
        return self._noted(view)

    def publish(self, user: str, body: Json, expected_hash: str | None = None) -> View:
        """Show a Home tab to a person."""
        home = self.homes.get(user)
        if home:
            return self.update(home, body, expected_hash)
        self.homes[user] = self._made(user, body)
        return self._noted(self.homes[user])

    def find(self, view_id: str | None, external_id: str | None = None) -> View:
        """Return an open view or Home tab. Raises SlackError `not_found`."""
        everything = [view for stack in self.stacks.values() for view in stack] + list(self.homes.values())
        for view in everything:
            if (view_id and view.id == view_id) or (external_id and view.body.get("external_id") == external_id):
                return view
        raise SlackError("not_found")

    def close(self, view: View, *, all_views: bool = False) -> list[View]:
        """Close a view and those above it, or the whole stack; returns them, the top first."""
        stack = self.stacks.get(view.user, [])
        if view not in stack:
            return []
        keep = 0 if all_views else stack.index(view)
        closed = stack[keep:][::-1]
        del stack[keep:]
        self.changes.note("views", {"views": self.shown(view.user)}, frozenset({view.user}))
        return closed

    def shown(self, user: str) -> list[Json]:
        """Return a person's stack as payloads show it, the visible one last."""
        return [view.as_slack(self.team, self.app) for view in self.stacks.get(user, [])]

    def home(self, user: str) -> Json | None:
        """Return a person's Home tab, or None."""
        view = self.homes.get(user)
        return view.as_slack(self.team, self.app) if view else None

    def _made(self, user: str, body: Json) -> View:
        self.counter += 1
        view_id = f"V{self.counter:08d}"
        named = body | {"blocks": name_blocks(body["blocks"], _new_id)}
        return View(view_id, user, named, self._hash(), initial_state(named["blocks"]), view_id)

    def _hash(self) -> str:
        self.counter += 1
        return f"{self.counter}.{secrets.token_hex(4)}"

    def _noted(self, view: View) -> View:
        kind = "home" if view.body["type"] == "home" else "views"
        data: Json = {"view": self.home(view.user)} if kind == "home" else {"views": self.shown(view.user)}
        self.changes.note(kind, data, frozenset({view.user}))
        return view

    def _check_external_id(self, body: Json, but: View | None = None) -> None:
        wanted = body.get("external_id")
        if not wanted:
            return
        try:
            found = self.find(None, wanted)
        except SlackError:
            return
        if found is not but:
            raise SlackError("duplicate_external_id")


def _kept(fresh: Json, before: Json) -> Json:
    for block_id, entries in fresh.items():
        for action_id, entry in entries.items():
            old = before.get(block_id, {}).get(action_id)
            if old and old["type"] == entry["type"]:
                entries[action_id] = old
    return fresh


def _new_id() -> str:
    return secrets.token_hex(3)
