"""The rate that a sync is held to: over all its threads, without making up for what was not used."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.sync.pace import Pace

MIB = 1 << 20


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_threads_share_one_rate() -> None:
    """Blocks that four threads bring at the same moment wait one behind the other."""
    pace = Pace(4 * MIB, Clock())
    assert [pace.wait_s(MIB) for _ in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_no_rate_no_wait() -> None:
    """0 is no limit."""
    assert Pace(0, Clock()).wait_s(1 << 40) == 0


@given(st.lists(st.tuples(st.integers(0, 4 * MIB), st.floats(0, 30)), min_size=1, max_size=50))
def test_never_faster(blocks: list[tuple[int, float]]) -> None:
    """Whoever waits as told is never ahead of the rate, however it paused between: not a byte is made up for."""
    clock = Clock()
    pace = Pace(MIB, clock)
    for size, pause in blocks:
        before = clock.now
        clock.now += pace.wait_s(size)
        assert clock.now - before >= size / MIB - 1e-6
        clock.now += pause
