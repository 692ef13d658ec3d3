"""Text for Slack: what came from people or databases made inert, cut safely, and times, sizes and spans as people read them."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from itertools import dropwhile, islice

from bot.model.amounts import count as count
from bot.model.people import Person

_ZERO_WIDTH = "\u200b"
_MARKS = re.compile(r"([*_~`])")
_PIECE = re.compile(r"&(?:amp|lt|gt);|<[^<>\n]*>|.", re.DOTALL)
_ISO = re.compile(r"\b(?:19|20)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?(?:[+-]\d\d:\d\d|Z)")
_BAR_CELLS = 20


def escape(text: str, limit: int = 300) -> str:
    """Return foreign `text` so that mrkdwn shows it letter for letter: no mentions, links, formatting, control or bidi characters.

    At most `limit` visible characters, cut before escaping; the result is one line. Source: docs.slack.dev, "Formatting text".
    """
    shown = cut(visible(text, limit + 1), limit)
    return _MARKS.sub(rf"\1{_ZERO_WIDTH}", entities(shown))


def code(text: str, limit: int = 200) -> str:
    """Return foreign `text` as one code span; backticks inside, which would end it, become primes."""
    shown = cut(visible(text, limit + 1), limit).replace("`", "′")
    return f"`{entities(shown)}`" if shown.strip() else "` `"


def code_block(text: str, limit: int = 1500) -> str:
    """Return `text` as a code block to copy from, without control and bidi characters; it is cut only past `limit`."""
    shown = "".join(char for char in text if char == "\n" or not _unsafe(char))
    return f"```{entities(cut(shown.replace('```', '′′′'), limit))}```"


def entities(text: str) -> str:
    """Replace the three characters that Slack reads as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def visible(text: str, most: int | None = None) -> str:
    """Return `text`, or its first `most` characters that can be seen, on one line without control, bidi and surrogate characters.

    Joiners inside emoji stay.
    """
    if text.isprintable():
        return text.strip()[:most]
    kept = (" " if char.isspace() else char for char in text if char.isspace() or not _unsafe(char))
    return "".join(islice(dropwhile(str.isspace, kept), most)).strip()


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of raw text, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def cut_marked(text: str, limit: int) -> str:
    """Return at most `limit` characters of mrkdwn, never ending inside an entity or a `<…>`."""
    if len(text) <= limit:
        return text
    kept, size = [], 0
    for piece in _PIECE.findall(text):
        if size + len(piece) > limit - 1:
            break
        kept.append(piece)
        size += len(piece)
    return "".join(kept).rstrip() + "…"


def mention(user: str) -> str:
    """Return a mention of a Slack user id; anything else is shown as text."""
    return f"<@{user}>" if re.fullmatch(r"[UW][A-Z0-9]{2,}", user) else escape(user, 80)


def named(person: Person) -> str:
    """Return a mention of somebody in Slack; a login on the host is text, whatever it looks like."""
    return escape(person.user, 80) if person.on_host else mention(person.user)


def mention_approver(entry: str) -> str | None:
    """Return the mention of one entry of a policy: a user, a group, or None for what cannot be mentioned."""
    if re.fullmatch(r"S[A-Z0-9]{2,}", entry):
        return f"<!subteam^{entry}>"
    return mention(entry) if re.fullmatch(r"[UW][A-Z0-9]{2,}", entry) else None


def moment(at: datetime, *, precise: bool = False) -> str:
    """Return a time in each reader's own zone, with UTC beside it; `precise` adds milliseconds to the UTC part."""
    utc = at.astimezone(UTC)
    spec = "milliseconds" if precise and utc.microsecond else "seconds"
    written = utc.replace(tzinfo=None).isoformat(" ", spec)
    return f"<!date^{int(utc.timestamp())}^{{date_short_pretty}} {{time_secs}}|{written} UTC> ({written} UTC)"


def moments(text: str) -> str:
    """Return ready text with each ISO time that has an offset shown as `moment` does, except inside code spans."""
    parts = text.split("`")
    return "`".join(part if odd % 2 else _ISO.sub(_as_moment, part) for odd, part in enumerate(parts))


def _as_moment(found: re.Match[str]) -> str:
    try:
        return moment(datetime.fromisoformat(found[0]), precise=True)
    except (ValueError, OverflowError):
        return found[0]


def size(count: int | float) -> str:
    """Return bytes as people read them, in powers of 1000: `3.1 GB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if abs(value) < 1000 or unit == "TB":
            return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def span(seconds: float) -> str:
    """Return seconds as people say them: `0.4 s`, `42 s`, `4 min 05 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def bar(done: float, total: float | None) -> str:
    """Return a progress bar of 20 cells with its percentage; an unknown total gives the empty string."""
    if not total or total <= 0:
        return ""
    share = min(max(done / total, 0.0), 1.0)
    full = int(share * _BAR_CELLS)
    return f"{'█' * full}{'░' * (_BAR_CELLS - full)} {int(share * 100)} %"


def _unsafe(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind in {"Cc", "Cs"} or (kind == "Cf" and char != "\u200d")
