"""Collect what is wrong with a Block Kit structure, each with the JSON pointer of the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Findings:
    """Problems found so far; the methods check one value each and return whether it may be looked into further."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def add(self, problem: str, path: str) -> None:
        """Record one problem."""
        self.problems.append(f"{problem} [json-pointer:{path}]")

    def mapping(self, value: Any, path: str) -> bool:
        """Require an object."""
        if not isinstance(value, dict):
            self.add("must be an object", path)
            return False
        return True

    def items(self, value: Any, path: str, most: int, least: int = 1) -> list[Any]:
        """Require a list of `least` to `most` items and return it, or an empty list."""
        if not isinstance(value, list):
            self.add("must be an array", path)
            return []
        if len(value) > most:
            self.add(f"no more than {most} items allowed", path)
        if len(value) < least:
            self.add(f"must have at least {least} item{'s' if least > 1 else ''}", path)
        return value

    def string(self, owner: dict[str, Any], key: str, path: str, most: int, *, required: bool = False) -> None:
        """Require a string of 1 to `most` characters where the key is present or required."""
        value = owner.get(key)
        if value is None:
            if required:
                self.add(f"missing required field: {key}", path)
        elif not isinstance(value, str):
            self.add("must be a string", f"{path}/{key}")
        elif len(value) > most:
            self.add(f"must be less than {most + 1} characters", f"{path}/{key}")
        elif not value and required:
            self.add("must be more than 0 characters", f"{path}/{key}")

    def text(
        self,
        owner: dict[str, Any],
        key: str,
        path: str,
        most: int,
        *,
        kinds: Sequence[str] = ("plain_text",),
        required: bool = False,
    ) -> None:
        """Require a text object of one of `kinds`, at most `most` characters, where present or required."""
        value = owner.get(key)
        if value is None:
            if required:
                self.add(f"missing required field: {key}", path)
            return
        place = f"{path}/{key}"
        if not self.mapping(value, place):
            return
        if value.get("type") not in kinds:
            self.add(f"must be one of the types {', '.join(kinds)}, not {value.get('type')!r}", f"{place}/type")
        self.string(value, "text", place, most, required=True)

    def choice(self, owner: dict[str, Any], key: str, path: str, allowed: Sequence[str]) -> None:
        """Require one of `allowed` where the key is present."""
        if key in owner and owner[key] not in allowed:
            self.add(f"must be one of {', '.join(allowed)}", f"{path}/{key}")

    def flag(self, owner: dict[str, Any], key: str, path: str) -> None:
        """Require true or false where the key is present."""
        if key in owner and not isinstance(owner[key], bool):
            self.add("must be a boolean", f"{path}/{key}")
