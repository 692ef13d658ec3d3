"""The bot's threads: all of them run, or none does."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger("pitstop.crew")


class Crew:
    """Threads that live and end together.

    The first one that raises, or returns before it was asked to, stops the others; `join` raises its error again, so that
    the bot ends loudly and systemd starts it anew.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def start(self, name: str, work: Callable[[threading.Event], None]) -> None:
        """Run `work(stop)` in a thread; it returns soon after `stop` is set."""
        thread = threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self, failure: BaseException | None = None) -> None:
        """Ask every thread to return; the first failure given is the one `join` raises."""
        with self._lock:
            if self._failure is None:
                self._failure = failure
        self.stop.set()

    def join(self, timeout_s: float = 10.0) -> None:
        """Wait until the crew was asked to stop, then up to `timeout_s` for each thread.

        Raises:
            the error of the first thread that failed.
        """
        while not self.stop.wait(0.5):
            pass
        for thread in self._threads:
            thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure

    def _run(self, name: str, work: Callable[[threading.Event], None]) -> None:
        try:
            work(self.stop)
        except BaseException as error:
            log.error("thread failed", thread=name, exc_info=True)
            self.end(error)
            return
        if not self.stop.is_set():
            log.error("thread ended early", thread=name)
            self.end(RuntimeError(f"the thread {name} ended before it was asked to"))
