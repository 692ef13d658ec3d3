"""Hold the documents to the tree: links lead somewhere, the state machine drawn is the code's, the lock file has no address.

Run by `./dev check` as `python -m tests.check_docs`; exits 1 with one line for each problem.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from bot.config import Config
from bot.model.requests import TRANSITIONS, Arrow, State

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = ROOT / "docs/architecture.md"
_BEGIN, _END = "<!-- transitions:begin -->\n", "<!-- transitions:end -->"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def broken_links(document: Path) -> Iterator[str]:
    """Yield each relative link of a Markdown file that leads nowhere."""
    for target in _LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("#"):
            continue
        if not (document.parent / target.partition("#")[0]).exists():
            yield f"{document.relative_to(ROOT)}: {target} does not exist"


def addresses_in_locks() -> Iterator[str]:
    """Yield each lock file that names a package index or a download address."""
    for lock in ROOT.glob("*.lock"):
        if re.search(r"https?://|file://|--(extra-)?index-url|--find-links", lock.read_text(encoding="utf-8")):
            yield f"{lock.name}: holds an address"


def unnamed_settings() -> Iterator[str]:
    """Yield each key of the configuration that its page does not name."""
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    named = {word for code in re.findall(r"`([^`]+)`", page) for word in re.findall(r"[a-z0-9_]+", code)}
    for path in _settings(Config, ""):
        if path.rpartition(".")[2] not in named:
            yield f"docs/configuration.md: {path} is not named"


def _settings(model: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{path}{name}"
        for inner in _models_in(field.annotation):
            yield from _settings(inner, f"{path}{name}.")


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def transitions_table() -> str:
    """Return the arrows of the state machine as a Markdown table, one row a letter. Pure."""
    letters = dict.fromkeys(arrow.letter for arrow in TRANSITIONS)
    rows = [_table_row([arrow for arrow in TRANSITIONS if arrow.letter == letter]) for letter in letters]
    return "\n".join(["| arrow | from | to | verb | meaning |", "|---|---|---|---|---|", *rows])


def _table_row(arrows: list[Arrow]) -> str:
    sources = ", ".join(arrow.source.name if arrow.source else "(nothing)" for arrow in arrows)
    targets = ", ".join(dict.fromkeys(arrow.target.name for arrow in arrows))
    resumes = "the state it left: " if arrows[0].verb == "resume" else ""
    first = arrows[0]
    sources = first.source.name if resumes and first.source else sources
    return f"| {first.letter} | {sources} | {resumes}{targets} | `{first.verb}` | {first.meaning} |"


def stale_transitions() -> Iterator[str]:
    """Yield a problem when the architecture page's table of arrows is not that of the code."""
    page = ARCHITECTURE.read_text(encoding="utf-8")
    if page.partition(_BEGIN)[2].partition(_END)[0].strip() != transitions_table():
        yield "docs/architecture.md: the table of arrows is not TRANSITIONS; run `python -m tests.check_docs --write`"


def stale_diagram() -> Iterator[str]:
    """Yield a problem for each state whose letters in the architecture page's diagram are not those of its arrows.

    The diagram's first line is the way to success (`PLANNING ─b▶ PROPOSED`); the letters of a state's other arrows stand below it.
    """
    page = ARCHITECTURE.read_text(encoding="utf-8")
    spine, _, below, *_ = page.partition("## A request, state by state\n\n```\n")[2].splitlines()
    for found in re.finditer(r"([A-Z]+)(?: ─([a-z])▶)?", spine):
        drawn = {*(found[2] or ""), *below[found.start(1) : found.end(1)].split()}
        if drawn != _letters_out_of(State[found[1]]):
            yield f"docs/architecture.md: the arrows drawn out of {found[1]} are not those of TRANSITIONS"
    if missing := {state.name for state in State} - set(re.findall(r"[A-Z]{4,}", page)):
        yield f"docs/architecture.md: the diagram lacks {', '.join(sorted(missing))}"


def _letters_out_of(state: State) -> set[str]:
    return {arrow.letter for arrow in TRANSITIONS if arrow.source is state}


def write_transitions() -> None:
    """Put the code's table of arrows into the architecture page."""
    head, _, rest = ARCHITECTURE.read_text(encoding="utf-8").partition(_BEGIN)
    tail = rest.partition(_END)[2]
    ARCHITECTURE.write_text(f"{head}{_BEGIN}{transitions_table()}\n{_END}{tail}", encoding="utf-8")


def problems() -> list[str]:
    """Return everything that is wrong, one sentence each."""
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [problem for document in documents for problem in broken_links(document)]
    return [*found, *addresses_in_locks(), *unnamed_settings(), *stale_transitions(), *stale_diagram()]


if __name__ == "__main__":
    if "--write" in sys.argv:
        write_transitions()
    found = problems()
    print("\n".join(found) or "Documents agree with the tree.")
    sys.exit(bool(found))
