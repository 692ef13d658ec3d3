"""WAL arithmetic: names, LSNs, ranges, timelines, where streaming starts, and what is durable."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.errors import Corruption
from bot.model.timelines import Leg, Lineage, Stretch, lineage
from bot.model.wal import (
    Fork,
    Lsn,
    WalRange,
    history_name,
    merge_ranges,
    parse_history,
    parse_history_name,
    parse_segment_name,
    segment_name,
    segment_number,
    segment_start,
)
from bot.model.wal_headers import check_header, read_header
from bot.repository.wal import WalInventory, chain, ranges_of
from jobs.wal.filling import lacking
from jobs.wal.position import Held, Position, after_gap, start_position
from jobs.wal.shipper import durable_until
from jobs.wal.slots import slot_names
from jobs.wal_check import holes_after
from tests.unit.repository.sample import SEGMENT_BYTES, SYSTEM, wal_segment

SIZE = 1 << 20
sizes = st.sampled_from([1 << 20, 16 << 20, 64 << 20, 1 << 30])
lsns = st.integers(0, (1 << 64) - 1).map(Lsn)
timelines = st.integers(1, 0xFFFFFFFF)


@given(lsn=lsns)
def test_lsns_come_back(lsn: Lsn) -> None:
    """An LSN is read as it is printed, in either case, and orders like its bytes."""
    assert Lsn.parse(str(lsn)) == lsn
    assert Lsn.parse(str(lsn).lower()) == lsn


@pytest.mark.parametrize(
    "text", ["", "0", "0/", "/0", "0/G", "0/123456789", "123456789/0", "0/1/2", "0x0/1", "-1/0", "0/ 1"]
)
def test_what_is_no_lsn(text: str) -> None:
    """Anything else than two hexadecimal numbers of at most 8 digits is refused."""
    with pytest.raises(ValueError, match="LSN"):
        Lsn.parse(text)


@given(lsn=lsns, timeline=timelines, size=sizes)
def test_segment_names_come_back(lsn: Lsn, timeline: int, size: int) -> None:
    """A segment's name leads back to its timeline and number; the byte at an LSN lies within its segment."""
    number = segment_number(lsn, size)
    assert parse_segment_name(segment_name(timeline, number, size), size) == (timeline, number)
    assert segment_start(number, size) <= lsn < segment_start(number, size) + size


@given(number=st.integers(0, 1 << 30), timeline=timelines, size=sizes)
def test_names_sort_like_wal(number: int, timeline: int, size: int) -> None:
    """On one timeline names sort in the order of their segments."""
    assert segment_name(timeline, number, size) < segment_name(timeline, number + 1, size)


def test_names_as_the_server_writes_them() -> None:
    """Names known from servers, across the change of the middle part, with the default and other sizes."""
    assert segment_name(1, segment_number(Lsn.parse("0/16B3748"))) == "000000010000000000000001"
    assert segment_name(2, segment_number(Lsn.parse("1/0"))) == "000000020000000100000000"
    assert segment_name(1, segment_number(Lsn.parse("0/FFFFFFFF"))) == "0000000100000000000000FF"
    assert segment_name(1, segment_number(Lsn.parse("1/40000000"), 1 << 30), 1 << 30) == "000000010000000100000001"


@pytest.mark.parametrize(
    ("name", "size"),
    [("00000001000000000000000g", SIZE), ("00000001000000000000000", SIZE), ("000000010000000000000100", 16 << 20),
     ("000000000000000000000001", SIZE), ("000000010000000000000001.partial", SIZE), ("0000000100000000000000ab", SIZE),
     ("000000010000000000000001\n", SIZE)],
)  # fmt: skip
def test_what_is_no_segment_name(name: str, size: int) -> None:
    """Other characters or lengths, timeline 0 and numbers a segment of this size never has are refused."""
    with pytest.raises(ValueError, match="segment"):
        parse_segment_name(name, size)


@given(timeline=timelines)
def test_history_names_come_back(timeline: int) -> None:
    """A history file's name says its timeline; a segment's name is none."""
    assert parse_history_name(history_name(timeline)) == timeline
    assert parse_history_name(segment_name(timeline, 1)) is None


@given(
    forks=st.lists(st.tuples(timelines, lsns), max_size=6),
    reason=st.text(st.characters(codec="ascii", exclude_characters="\n\r\v\f\x1c\x1d\x1e"), max_size=20),
)
def test_history_files_come_back(forks: list[tuple[int, Lsn]], reason: str) -> None:
    """Every line of a history file is read, whatever its reason says; comments and empty lines are passed over."""
    text = "# comment\n\n" + "".join(f"{timeline}\t{lsn}\t{reason}\n\n" for timeline, lsn in forks)
    assert parse_history(text) == tuple(Fork(timeline, lsn) for timeline, lsn in forks)


@pytest.mark.parametrize("text", ["1\n", "x\t0/1\n", "1\tnowhere\treason\n", "0/1\t1\n"])
def test_what_is_no_history(text: str) -> None:
    """A line that is not `timeline LSN reason` is refused: nothing is guessed about a line of descent."""
    with pytest.raises(ValueError):
        parse_history(text)


pieces = st.lists(
    st.builds(lambda t, s, n: WalRange(t, Lsn(s), Lsn(s + n)), st.integers(1, 3), st.integers(0, 60), st.integers(0, 20)),
    max_size=12,
)  # fmt: skip


@given(ranges=pieces)
def test_merged_ranges_cover_the_same(ranges: list[WalRange]) -> None:
    """Merging changes no byte that is covered, and leaves ranges that are ordered, apart from each other and not empty."""

    def covered(some: list[WalRange]) -> set[tuple[int, int]]:
        return {(piece.timeline, at) for piece in some for at in range(piece.start, piece.end)}

    merged = merge_ranges(ranges)
    assert covered(merged) == covered(ranges)
    assert all(piece.start < piece.end for piece in merged)
    pairs = itertools.pairwise(merged)
    assert all((a.timeline, a.end) < (b.timeline, b.start) for a, b in pairs)


@given(
    found=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda p: (p[0], p[0] + p[1])), max_size=10)
)
def test_a_chain_of_pieces_reaches_as_far_as_all(found: list[tuple[int, int]]) -> None:
    """The chosen pieces reach from 0 as far as all of them do without a hole, in order, none of them needless."""
    reach = 0
    while further := [end for start, end in found if start <= reach < end]:
        reach = max(further)
    chosen = chain(found)
    assert (chosen[-1][1] if chosen else 0) == reach
    at = 0
    for start, end in chosen:
        assert start <= at < end
        at = end
    for index in range(len(chosen) - 2):
        assert chosen[index + 2][0] > chosen[index][1], "one in between was needless"


@given(whole=st.sets(st.integers(0, 20)), partial=st.dictionaries(st.integers(0, 20), st.integers(1, SIZE - 1)))
def test_an_inventory_as_ranges(whole: set[int], partial: dict[int, int]) -> None:
    """Ranges end where a segment is missing or only begun, and no later segment bridges that."""
    ends = {(1, number): end for number, end in partial.items() if number not in whole}
    ranges = ranges_of(WalInventory({1: sorted(whole)}, ends), SIZE)
    for piece in ranges:
        for number in range(piece.start // SIZE, piece.end // SIZE):
            assert number in whole
    assert sum(piece.end - piece.start for piece in ranges) == len(whole) * SIZE + sum(ends.values())


HISTORIES = {2: (Fork(1, Lsn(250)),), 3: (Fork(1, Lsn(250)), Fork(2, Lsn(410)))}


def test_a_line_of_descent() -> None:
    """Each byte belongs to one timeline; a child's first file bears the child's name and repeats its parent's bytes."""
    line = lineage(3, HISTORIES)
    assert line.legs == (Leg(1, Lsn(0), Lsn(250)), Leg(2, Lsn(250), Lsn(410)), Leg(3, Lsn(410)))
    assert [line.timeline_at(Lsn(at)) for at in (0, 249, 250, 409, 410, 9999)] == [1, 1, 2, 2, 3, 3]
    assert [line.file_timeline(number, 100) for number in (0, 1, 2, 3, 4, 5)] == [1, 1, 2, 2, 3, 3]
    assert line.holds(2, Lsn(250), Lsn(410))
    assert not line.holds(2, Lsn(250), Lsn(411))
    assert not line.holds(1, Lsn(200), Lsn(300)), "the overrun of an old primary is not on this line"
    assert lineage(1, HISTORIES).legs == (Leg(1, Lsn(0)),)


def test_stretches_along_a_line() -> None:
    """WAL joins over forks; an overrun past a fork does not count, and a hole parts it."""
    line = lineage(3, HISTORIES)
    found = [WalRange(1, Lsn(100), Lsn(900)), WalRange(2, Lsn(200), Lsn(410)), WalRange(3, Lsn(400), Lsn(450))]
    assert line.stretches(found, 100) == [Stretch(Lsn(100), Lsn(450))]
    assert line.stretches([found[0], found[2]], 100) == [Stretch(Lsn(100), Lsn(250)), Stretch(Lsn(400), Lsn(450))]
    assert lineage(1, HISTORIES).stretches(found, 100) == [Stretch(Lsn(100), Lsn(900))]


@given(ranges=pieces, timeline=st.integers(1, 3))
def test_stretches_are_ordered_and_on_the_line(ranges: list[WalRange], timeline: int) -> None:
    """Every byte of a stretch is held on the leg it belongs to, or lies in the child's repeated first file."""
    forks = {2: (Fork(1, Lsn(25)),), 3: (Fork(1, Lsn(25)), Fork(2, Lsn(41)))}
    line: Lineage = lineage(timeline, forks)
    stretches = line.stretches(ranges, 10)
    held = {(piece.timeline, at) for piece in ranges for at in range(piece.start, piece.end)}
    for stretch in stretches:
        for at in range(stretch.start, stretch.end):
            assert any((t, at) in held for t in {line.timeline_at(Lsn(at)), line.file_timeline(at // 10, 10)})
    assert all(a.end < b.start for a, b in itertools.pairwise(stretches))


def at(*, whole: dict[int, set[int]] | None = None, begun: dict[int, set[int]] | None = None, kept: int = 0,
       timeline: int = 1, forks: tuple[Fork, ...] = ()) -> Position:  # fmt: skip
    """Decide with segments of 100 bytes."""
    return start_position(
        held=Held(whole or {}, begun or {}),
        kept_from=Lsn(kept),
        server_timeline=timeline,
        forks=forks,
        segment_bytes=100,
    )


def test_streaming_starts_at_the_kept_slot() -> None:
    """With nothing held: from the first byte of the segment where the kept slot stands."""
    assert at(kept=730) == Position(1, Lsn(700), Lsn(700))


def test_streaming_goes_on_behind_what_is_held() -> None:
    """What is held from the slot on is not asked for again; what is durable is still counted from the slot."""
    assert at(whole={1: {7, 8, 9}}, kept=730) == Position(1, Lsn(1000), Lsn(700))


def test_a_hole_is_asked_for_again() -> None:
    """A missing segment in between is streamed again, with all that follows."""
    assert at(whole={1: {7, 9}}, kept=730) == Position(1, Lsn(800), Lsn(700))


def test_what_a_new_slot_does_not_keep_is_asked_for() -> None:
    """Where the slot stands behind the end of what is held, the server is asked for what is between: it may still have it."""
    assert at(whole={1: {3, 4}}, kept=730) == Position(1, Lsn(500), Lsn(500))
    assert at(begun={1: {4}}, kept=730) == Position(1, Lsn(400), Lsn(400)), "also behind a segment that was only begun"
    assert at(whole={1: {3}}, begun={1: {4}}, kept=730) == Position(1, Lsn(400), Lsn(400))
    assert at(begun={1: {7}}, kept=730) == Position(1, Lsn(700), Lsn(700))
    assert at(begun={1: {9}}, kept=730) == Position(1, Lsn(700), Lsn(700)), "begun later is no start"


def test_a_new_timeline_begins_in_the_segment_of_its_fork() -> None:
    """Held past the fork: on to the child, from the segment that holds the fork. Before it: still the parent, up to there."""
    fork = (Fork(1, Lsn(950)),)
    assert at(whole={1: {7, 8, 9}}, kept=730, timeline=2, forks=fork) == Position(2, Lsn(900), Lsn(900))
    assert at(whole={1: {7}}, kept=730, timeline=2, forks=fork) == Position(1, Lsn(800), Lsn(700))
    assert at(whole={1: {7, 8}, 2: {9}}, kept=730, timeline=2, forks=fork).timeline == 2
    assert at(whole={5: {1, 2}}, kept=730, timeline=2, forks=fork) == Position(2, Lsn(700), Lsn(700)), "another line"


@given(whole=st.sets(st.integers(0, 15)), begun=st.sets(st.integers(0, 15)), kept=st.integers(0, 1500))
def test_a_start_leaves_no_hole_behind_the_slot(whole: set[int], begun: set[int], kept: int) -> None:
    """From the slot on everything before the start is held whole, and the start is a segment's first byte."""
    position = at(whole={1: whole}, begun={1: begun}, kept=kept)
    floor = kept // 100
    assert position.start % 100 == 0
    assert position.counted_from <= position.start
    assert all(number in whole for number in range(floor, position.start // 100))
    assert position.start // 100 not in whole


@given(
    ours=st.dictionaries(st.integers(1, 3), st.sets(st.integers(0, 12))),
    theirs=st.dictionaries(st.integers(1, 3), st.sets(st.integers(0, 12))),
    at_most=st.integers(1, 40),
)
def test_what_one_repository_lacks(ours: dict[int, set[int]], theirs: dict[int, set[int]], at_most: int) -> None:
    """Only what is there and lacking is asked for, never older WAL; in steps, all holes are filled that can be."""
    before = {timeline: set(numbers) for timeline, numbers in ours.items()}
    while step := lacking(ours, theirs, at_most=at_most):
        assert len(step) <= at_most
        for timeline, number in step:
            assert number in theirs[timeline]
            assert number not in ours.get(timeline, set())
            ours.setdefault(timeline, set()).add(number)
    for timeline, numbers in before.items():
        if numbers:
            assert min(ours[timeline]) == min(numbers)
            assert {n for n in theirs.get(timeline, set()) if n > min(numbers)} <= ours[timeline]
    if not any(before.values()):
        assert ours == before


def test_what_retention_removed_is_not_brought_back() -> None:
    """Between the own WAL of an old backup and the window, what another repository still holds is not copied."""
    ours, theirs = {1: {0, 1, 8, 10}}, {1: set(range(11))}
    assert lacking(ours, theirs, at_most=9, since=8) == [(1, 9)]
    assert lacking(ours, theirs, at_most=9) == [(1, number) for number in (2, 3, 4, 5, 6, 7, 9)]


def test_after_a_gap() -> None:
    """Where the server dropped what continuity needs, streaming starts where its slot still keeps WAL, on that timeline."""
    forks = (Fork(1, Lsn(500)), Fork(2, Lsn(900)))
    for kept, timeline in ((450, 1), (550, 2), (950, 3)):
        found = after_gap(kept_from=Lsn(kept), server_timeline=3, forks=forks, segment_bytes=100)
        assert found == Position(timeline, Lsn(kept // 100 * 100), Lsn(kept // 100 * 100))


@given(
    whole=st.sets(st.integers(0, 12)),
    ends=st.dictionaries(st.integers(0, 12), st.integers(0, 99)),
    start=st.integers(0, 12),
)
def test_durable_never_bridges_a_hole(whole: set[int], ends: dict[int, int], start: int) -> None:
    """What is called durable is held without a hole from where counting began."""
    lsn = durable_until(whole, {(1, n): end for n, end in ends.items()}, 1, Lsn(start * 100), 100)
    assert lsn >= start * 100
    assert all(number in whole for number in range(start, lsn // 100))
    assert lsn % 100 in {0, ends.get(lsn // 100)}


@given(
    found=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=6),
    start=st.integers(0, 30),
    end=st.integers(0, 50),
)
def test_holes(found: list[tuple[int, int]], start: int, end: int) -> None:
    """The holes named after a backup's start are just the bytes that no stretch holds."""
    assume(start < end)
    merged = merge_ranges([WalRange(1, Lsn(s), Lsn(s + n)) for s, n in found])
    stretches = [Stretch(piece.start, piece.end) for piece in merged]
    held = {at for s in stretches for at in range(s.start, s.end)}
    holes = holes_after(Lsn(start), stretches, Lsn(end), 1)
    missing = {at for a, b in holes for at in range(a, b)}
    assert {at for at in missing if start <= at < end} == {at for at in range(start, end) if at not in held}
    assert not missing & held


@pytest.mark.parametrize("name", ["slips", "a-b", "a_b", "a.b", "x" * 63, "x" * 62 + "-", "1"])
def test_slot_names_are_allowed_and_apart(name: str) -> None:
    """Every cluster's two slots have names that PostgreSQL takes, and no two clusters share one."""
    names = slot_names(name)
    for slot in (names.stream, names.durable):
        assert len(slot) <= 63
        assert set(slot) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    others = {
        slot_names(other).stream
        for other in ("slips", "a-b", "a_b", "a.b", "x" * 63, "x" * 62 + "-", "1")
        if other != name
    }
    assert names.stream not in others


def test_headers_say_whose_a_segment_is() -> None:
    """A segment's first page names timeline, place, cluster and size; a child's first segment may begin with its parent's page."""
    data = wal_segment(1, 7)
    header = read_header(data)
    assert header is not None
    assert (header.timeline, header.address, header.system_id, header.segment_bytes) == (
        1,
        7 * SEGMENT_BYTES,
        SYSTEM,
        SEGMENT_BYTES,
    )
    check_header(data, SYSTEM, 1, 7, SEGMENT_BYTES)
    check_header(data, SYSTEM, 2, 7, SEGMENT_BYTES)
    for wrong in ((SYSTEM, 1, 8), ("1", 1, 7), (SYSTEM, 0, 7)):
        with pytest.raises(Corruption):
            check_header(data, *wrong, SEGMENT_BYTES)
    assert read_header(data[:30]) is None
    assert read_header(bytes(100)) is None
