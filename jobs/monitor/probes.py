"""Questions that may hang (a dead mount, a server that swallows packets): each is waited for so long and no longer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Answer(Generic[T]):
    done: threading.Event = field(default_factory=threading.Event)
    value: T | None = None
    error: BaseException | None = None


class Probes:
    """Asks in threads of their own; one that hangs is asked again only once it came back."""

    def __init__(self) -> None:
        self._asked: dict[str, _Answer[object]] = {}

    def ask(self, name: str, question: Callable[[], T], timeout_s: float) -> T:
        """Return the answer to `question`.

        Raises:
            TimeoutError: there was none in time, or the one asked before has not come back yet.
            whatever `question` raised.
        """
        before = self._asked.get(name)
        if before is not None and not before.done.is_set():
            raise TimeoutError
        answer: _Answer[T] = _Answer()
        self._asked[name] = answer  # type: ignore[assignment]

        def run() -> None:
            try:
                answer.value = question()
            except BaseException as error:  # noqa: BLE001 - the edge of a thread: whoever asked is told
                answer.error = error
            answer.done.set()

        threading.Thread(target=run, name=f"probe-{name}", daemon=True).start()
        if not answer.done.wait(timeout_s):
            raise TimeoutError
        if answer.error is not None:
            raise answer.error
        assert answer.value is not None
        return answer.value
