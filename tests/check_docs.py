"""Hold the documents to the tree: links lead somewhere, the state table is the code's, the lock file has no address.

Run by `./dev check` as `python -m tests.check_docs`; exits 1 with one line for each problem.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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


def stale_transitions() -> Iterator[str]:
    """Yield a problem when the architecture page's arrows are not those of the code."""
    from bot.model.requests import transitions_table

    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    begin, end = "<!-- transitions:begin -->\n", "<!-- transitions:end -->"
    if page.partition(begin)[2].partition(end)[0].strip() != transitions_table().strip():
        yield "docs/architecture.md: the table of arrows is not TRANSITIONS; run `python -m tests.check_docs --write`"


def write_transitions() -> None:
    """Put the code's table of arrows into the architecture page."""
    from bot.model.requests import transitions_table

    path = ROOT / "docs/architecture.md"
    page = path.read_text(encoding="utf-8")
    begin, end = "<!-- transitions:begin -->\n", "<!-- transitions:end -->"
    head, _, rest = page.partition(begin)
    path.write_text(head + begin + transitions_table().strip() + "\n" + end + rest.partition(end)[2], encoding="utf-8")


def problems() -> list[str]:
    """Return everything that is wrong, one sentence each."""
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [problem for document in documents for problem in broken_links(document)]
    return [*found, *addresses_in_locks(), *stale_transitions()]


if __name__ == "__main__":
    if "--write" in sys.argv:
        write_transitions()
    found = problems()
    print("\n".join(found) or "Documents agree with the tree.")
    sys.exit(bool(found))
