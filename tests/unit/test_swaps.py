"""A swap's names, its standing, and the note that finishes it by hand: nothing here asks a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Conflict
from bot.model.ids import ClusterName, RequestId
from bot.model.swaps import NAME_BYTES, Note, Standing, Swap, kept_name, name_beside, read_note, standing
from bot.postgres.database_traits import split_list

REQUEST = RequestId("r0123456789")
SWAP = Swap(REQUEST, "live", 5, "coming", 6, "before")
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)


@given(names)
def test_a_name_beside_fits_and_is_the_request_s_own(database: str) -> None:
    """However long and in whatever script a database is called, the kept name is one PostgreSQL takes whole, with the request."""
    made = kept_name(database, REQUEST)
    assert len(made.encode()) <= NAME_BYTES
    assert made.endswith(f"_before_{REQUEST}")
    assert database.startswith(made.removesuffix(f"_before_{REQUEST}"))
    assert made != name_beside(database, "undone", REQUEST)


@given(names, st.none() | st.text(max_size=200), st.booleans())
def test_a_note_is_read_back_whatever_the_database_is_called(database: str, comment: str | None, allowed: bool) -> None:
    """What Pitstop wrote on a database says the same when it is read, also with braces and quotes in names and comments."""
    note = Note(REQUEST, ClusterName("slips"), "kept", database, 5, "2026-11-24T03:00:00+00:00", allowed, comment)
    assert read_note(note.text()) == note


@pytest.mark.parametrize("comment", [None, "", "the shop", "Pitstop: ", 'Pitstop: x. {"allowed"', "Pitstop: x. {}"])
def test_what_people_wrote_is_no_note(comment: str | None) -> None:
    """A comment of somebody else's, or half a note, is never taken for Pitstop's word."""
    assert read_note(comment) is None


def test_the_server_s_names_say_where_a_swap_stands() -> None:
    """Before, after, or neither: never guessed from names alone."""
    assert standing({"live": 5, "coming": 6}, SWAP) is Standing.BEFORE
    assert standing({"live": 6, "before": 5}, SWAP) is Standing.AFTER
    assert standing({"live": 5}, SWAP) is Standing.BEFORE
    for strange in ({"live": 6}, {"live": 6, "before": 7}, {"live": 9, "coming": 6}, {}):
        with pytest.raises(Conflict):
            standing(strange, SWAP)


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("", []),
        ('""', [""]),
        ('"$user", public', ["$user", "public"]),
        ('a,b , "c ""d"", e"', ["a", "b", 'c "d", e']),
    ],
)
def test_a_list_setting_is_taken_apart_as_postgresql_wrote_it(value: str, items: list[str]) -> None:
    """search_path and its like keep their quoted names, commas and the empty name."""
    assert split_list(value) == items
