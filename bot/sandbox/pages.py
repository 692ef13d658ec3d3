"""Serve the page and its own files; nothing comes from anywhere else."""

from __future__ import annotations

from pathlib import Path

import jinja2
from aiohttp import web

from bot.sandbox.state import State

FOLDER = Path(__file__).parent / "page"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Pages:
    """The page at `/`, opened at a message by `/archives/<channel>/p<ts>`, as permalinks do."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._templates = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True)

    def add_routes(self, app: web.Application) -> None:
        """Register the page and its files."""
        app.router.add_get("/", self.page)
        app.router.add_get("/archives/{channel}", self.page)
        app.router.add_get("/archives/{channel}/{message}", self.page)
        app.router.add_get("/page/{name}", self.file)

    async def page(self, _request: web.Request) -> web.Response:
        """Answer with the page."""
        people = [p for p in self._state.workspace.people.values() if not p.is_bot and not p.deleted]
        html = self._templates.get_template("index.html").render(
            token=self._state.secrets.page_token,
            workspace=self._state.workspace.team.name,
            first_person=people[0].id if people else "",
        )
        return web.Response(text=html, content_type="text/html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Answer with one of the page's own files."""
        name = request.match_info["name"]
        path = FOLDER / name
        # The router lets no slash through; a name is one of ours or it does not exist.
        if path.suffix not in _TYPES or path not in set(FOLDER.iterdir()):
            raise web.HTTPNotFound
        return web.Response(body=path.read_bytes(), content_type=_TYPES[path.suffix], charset="utf-8")
