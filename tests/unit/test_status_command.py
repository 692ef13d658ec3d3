"""What `pitstop status` says of several repositories."""

from __future__ import annotations

from bot.commands.status import window_lines

MORNING, NOON, NIGHT = (f"2026-11-24T{hour}:00:00+00:00" for hour in ("08", "12", "23"))


def window(repository: str, *parts: tuple[str, str]) -> dict[str, object]:
    """Return a receiver's last word about a repository, as far as windows go."""
    return {"repository": repository, "recovery_window": [{"from": start, "to": end} for start, end in parts]}


def test_equal_windows_are_said_once_and_others_with_their_repository() -> None:
    """Two repositories that go equally far back are one line; where they differ, each line names its own."""
    alike = [window(name, (MORNING, NOON)) for name in ("local", "offsite")]
    assert window_lines(alike) == ["2026-11-24 08:00:00 UTC to 2026-11-24 12:00:00 UTC"]
    assert window_lines([window("local", (MORNING, NOON), (NOON, NIGHT)), window("offsite", (MORNING, NOON))]) == [
        "2026-11-24 08:00:00 UTC to 2026-11-24 12:00:00 UTC, from local",
        "2026-11-24 12:00:00 UTC to 2026-11-24 23:00:00 UTC, from local",
        "2026-11-24 08:00:00 UTC to 2026-11-24 12:00:00 UTC, from offsite",
    ]
    assert window_lines([]) == []
