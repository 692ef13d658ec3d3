"""Writers of one process take turns at the ledger."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bot.errors import Unavailable
from bot.ledger import Ledger
from bot.ledger.turns import Turns, turns_at
from tests.jobs import wait_for


def test_urgent_goes_first_and_each_kind_in_order() -> None:
    """While one writes, others line up: a click that came last is next, then the rest as they came."""
    turns, order = Turns(), list[str]()

    def write(name: str, urgent: bool) -> None:
        with turns.turn(10, urgent=urgent):
            order.append(name)

    threads = []
    with turns.turn(10):
        for name, urgent in (("first", False), ("second", False), ("click", True), ("third", False)):
            threads.append(threading.Thread(target=write, args=(name, urgent)))
            threads[-1].start()
            wait_for(lambda: len(turns._urgent) + len(turns._ordinary) == len(threads), what="lining up")
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["click", "first", "second", "third"]


def test_giving_up_leaves_the_line() -> None:
    """Whoever waited too long is told so, and keeps nobody behind it waiting; a body that raises passes the turn on."""
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn(1):
        with pytest.raises(TimeoutError), turns.turn(0.01):
            raise AssertionError("two at once")
        raise ZeroDivisionError
    with turns.turn(0):
        assert not turns._ordinary


def test_a_busy_ledger_says_so(tmp_path: Path) -> None:
    """A thread that gets no turn in time is answered like one that finds the file locked by another process."""
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.create()
    again = Ledger(tmp_path / "." / "ledger.db")
    with (
        turns_at(ledger.path).turn(1),
        pytest.raises(Unavailable, match="stays locked"),
        again.transaction(timeout_s=0.01),
    ):
        raise AssertionError("two at once")


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    """Twelve threads that read and write at once leave every increment in the ledger."""
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.create()
    with ledger.transaction() as tx:
        tx.execute("CREATE TABLE counted (n INTEGER NOT NULL)")
        tx.execute("INSERT INTO counted VALUES (0)")

    def count(urgent: bool) -> None:
        for _ in range(10):
            with ledger.transaction(urgent=urgent) as tx:
                before = tx.execute("SELECT n FROM counted").fetchone()[0]
                tx.execute("UPDATE counted SET n = ?", [before + 1])

    with ledger.kept_open():
        threads = [threading.Thread(target=count, args=(number % 3 == 0,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    with ledger.read() as tx:
        assert tx.execute("SELECT n FROM counted").fetchone()[0] == 120
