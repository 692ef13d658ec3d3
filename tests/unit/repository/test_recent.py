"""Corrections of listings that lag: what was written is there, what was deleted is not, and the server has the last word."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from bot.repository.stores import ObjectInfo
from bot.repository.stores.recent import FOR_S, REMEMBERED, Recent

AT = datetime(2026, 11, 22, tzinfo=UTC)
names = st.sets(st.sampled_from([f"a/{n}" for n in range(6)] + ["b/1", "b/2/3", "c"]))


def info(path: str) -> ObjectInfo:
    """Return an object of that path."""
    return ObjectInfo(path, 1, AT)


@given(before=names, put=names, deleted=names, listed_new=names)
def test_a_lagging_listing_is_corrected(
    before: set[str], put: set[str], deleted: set[str], listed_new: set[str]
) -> None:
    """Whatever of the latest changes a listing shows already, corrected it is the truth, in order, and so are the children."""
    recent, truth = Recent(), set(before)
    for path in sorted(put - before):
        truth.add(path)
        recent.put(path)
    for path in sorted(deleted):
        truth.discard(path)
        recent.deleted(path)
    stale = sorted((before - (deleted & listed_new)) | (truth & listed_new))
    ask = {path: info(path) for path in truth}.get
    assert [one.path for one in recent.corrected("", map(info, stale), ask)] == sorted(truth)

    def there(path: str) -> bool:
        return any(other == path or other.startswith(f"{path}/") for other in truth)

    found = recent.corrected_names("", {path.split("/")[0] for path in stale}, there)
    assert found == {path.split("/")[0] for path in truth}


def test_a_listing_that_is_right_costs_nothing() -> None:
    """Where the listing shows what was written, nothing more is asked."""
    recent, asked = Recent(), list[str]()
    for path in ("a/1", "a/2"):
        recent.put(path)

    def ask(path: str) -> ObjectInfo | None:
        asked.append(path)
        return None

    assert [one.path for one in recent.corrected("a/", map(info, ["a/1", "a/2"]), ask)] == ["a/1", "a/2"]
    assert asked == []


def test_it_forgets() -> None:
    """Memory is bounded in number and in time."""
    now = [0.0]
    recent = Recent(clock=lambda: now[0])
    for number in range(REMEMBERED + 5):
        recent.put(f"a/{number:06d}")
    assert len(list(recent.corrected("a/", [], info))) == REMEMBERED
    now[0] = FOR_S + 1
    assert list(recent.corrected("a/", [], info)) == []
