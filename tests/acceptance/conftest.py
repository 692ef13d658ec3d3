"""Fixtures that acceptance tests share."""

from tests.acceptance.browser import chromium, open_page

__all__ = ["chromium", "open_page"]
