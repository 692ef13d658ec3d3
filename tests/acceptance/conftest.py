"""Fixtures that acceptance tests share."""

from tests.acceptance.browser import chromium, open_page
from tests.acceptance.page_ground import app, sandbox

__all__ = ["app", "chromium", "open_page", "sandbox"]
