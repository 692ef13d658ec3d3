"""Back-off: waits grow with jitter, end at the deadline, and success starts anew."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Unavailable
from bot.repository.stores.patience import Again, Patience, Tries


@dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.waits.append(seconds)
        self.now += seconds


def patience(time: Time, **more: float) -> Patience:
    """Return a patience by that clock, with the longest jitter."""
    return Patience(**more, sleep=time.sleep, clock=lambda: time.now, jitter=lambda: 1.0)


def failing(times: int, **more: float) -> list[Again]:
    """Return failures to raise one by one."""
    return [Again("The server failed.", **more) for _ in range(times)]  # type: ignore[arg-type]


def test_waits_double_up_to_a_bound() -> None:
    """The waits are 0.2 s, doubled up to 20 s."""
    time, errors = Time(), failing(10)
    assert patience(time).insist(lambda: _raise_one(errors)) == "done"
    assert time.waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20, 20]


def test_the_deadline() -> None:
    """Past the deadline the last failure is told, with how often and how long it was tried; it is no longer worth another try."""
    time = Time()
    with pytest.raises(Unavailable, match=r"The server failed\. It was tried \d+ times in \d+ s\.") as caught:
        patience(time, for_s=60).insist(lambda: _raise_one(failing(1)))
    assert not isinstance(caught.value, Again)
    assert 40 <= time.now <= 60


def test_nobody_there_is_told_sooner() -> None:
    """Where nobody answers at all, it ends after the shorter time."""
    time = Time()
    with pytest.raises(Unavailable):
        patience(time).insist(lambda: _raise_one([Again("Nobody.", quick=True)]))
    assert time.now <= 30


def test_the_server_says_when() -> None:
    """A wait is never shorter than the server asked for."""
    time, errors = Time(), failing(1, after_s=7.0)
    patience(time).insist(lambda: _raise_one(errors))
    assert time.waits == [7.0]


def test_success_starts_anew() -> None:
    """Failures between which something is achieved are never too many."""
    time = Time()
    tries = Tries(patience(time, for_s=1))
    for _ in range(100):
        tries.failed(failing(1)[0])
        tries.succeeded()
    assert time.waits == [0.2] * 100


@given(jitter=st.floats(0, 1, exclude_max=True), count=st.integers(1, 40))
def test_jitter_spreads_the_waits(jitter: float, count: int) -> None:
    """Each wait is between half its bound and its bound, however often it failed."""
    time, errors = Time(), failing(count)
    Patience(for_s=1e9, sleep=time.sleep, clock=lambda: time.now, jitter=lambda: jitter).insist(
        lambda: _raise_one(errors)
    )
    for number, wait in enumerate(time.waits):
        bound = min(20.0, 0.2 * 2**number)
        assert bound / 2 <= wait <= bound


def _raise_one(errors: list[Again]) -> str:
    if errors:
        raise errors.pop()
    return "done"
