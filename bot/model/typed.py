"""Text as people type it on phones: dashes, quotes and spaces made plain, and cut to what a message can show."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

_TOKEN = re.compile(r'(?:"(?:[^"]|"")*"|[^\s,"])+|,')
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_SINGLE = "\u2018\u2019\u201a\u201b\u2032\u02bc\uff07"
_DOUBLE = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\uff02"
_COLONS = "\uff1a\ufe55\u2236"
_PLAIN = str.maketrans(
    {
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys(_SINGLE, "'"),
        **dict.fromkeys(_DOUBLE, '"'),
        **dict.fromkeys(_COLONS, ":"),
        "\uff0f": "/",
        "\uff0b": "+",
    }
)


def plain(text: str) -> str:
    """Return `text` with typographic dashes, quotes and colons as ASCII, every run of blanks one space, no control characters.

    Idempotent. Letters and digits of other scripts are left alone; the grammars refuse what they do not know.
    """
    visible = (" " if _blank(char) else char for char in text.translate(_PLAIN) if not _silent(char))
    return " ".join("".join(visible).split())


def shorten(text: str, limit: int) -> str:
    """Return `text` in at most `limit` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + "…"


def quoted(text: str, limit: int = 60) -> str:
    """Return what somebody typed as a sentence may repeat it: one line, cut, in typographic quotes."""
    return f"“{shorten(plain(text), limit)}”"


def shell_word(text: str) -> str:
    """Return `text` as one word for a POSIX shell, in double quotes where nothing in it means anything there."""
    return shlex.quote(text) if re.search(r"[\"$`\\!\n]", text) else f'"{text}"'


def tokens(line: str) -> list[str]:
    """Return the words and commas of a line; what stands in double quotes is one word, quotes and all, a doubled one inside it."""
    return _TOKEN.findall(line)


def unquoted(word: str) -> str:
    """Return a name as it is meant: in double quotes it stands as it is."""
    return word[1:-1].replace('""', '"') if len(word) > 1 and word[0] == word[-1] == '"' else word


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` most likely meant, or None."""
    found = get_close_matches(word.lower()[:80], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _blank(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in {"Zs", "Zl", "Zp"}


def _silent(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs"} and not char.isspace()
