"""The executor's side of `restore_command`: a Unix socket that hands WAL to a recovering server's script.

The server asks for one file at a time, by name. The script beside the socket runs with the system's Python, standard
library only. It ends with 0 when the file is in place, and its shell line turns exactly one proven answer into 1
("absent": the server takes that as the end of the WAL) and everything else that can happen into 255, which stops the
server: a failed transfer must never look like the end.
"""

from __future__ import annotations

import os
import shlex
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from bot.errors import PitstopError, Unavailable
from bot.model.wal import parse_segment_name, segment_name

Answer = bytes | Path | None
Fetch = Callable[[str], Answer]

_PROVEN_ABSENCE = 71
_PREFETCH_BYTES = 64 * 1024 * 1024
_BLOCK = 1024 * 1024

CLIENT = f'''\
"""Ask Pitstop for one WAL file: python3 -I -S THIS NAME DESTINATION. Written by Pitstop."""
import os
try:
    import socket, sys
    name, place = sys.argv[1], sys.argv[2]
    here = os.path.dirname(os.path.abspath(__file__))
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(os.path.join(here, "wal.sock"))
    link.sendall(name.encode("ascii") + b"\\n")
    stream = link.makefile("rb")
    header = stream.readline(64).split()
    if header == [b"ABSENT"]:
        os._exit({_PROVEN_ABSENCE})
    if len(header) != 2 or header[0] != b"OK":
        os._exit(255)
    left = int(header[1])
    temporary = place + ".pitstop"
    with open(temporary, "wb") as file:
        while left:
            block = stream.read(min(left, {_BLOCK}))
            if not block:
                os._exit(255)
            file.write(block)
            left -= len(block)
    os.rename(temporary, place)
except BaseException:
    os._exit(255)
os._exit(0)
'''


class WalService:
    """Serve `fetch` on `folder`/wal.sock until closed.

    `fetch(name)` gets the name of a segment or history file and returns its whole content (padded to the segment's
    size), a path to it, or None for absence that is *proven*; for anything else it raises. It is called from several
    threads: the next segments are fetched ahead while the server replays one.
    """

    def __init__(
        self, folder: Path, fetch: Fetch, *, segment_bytes: int, python: Path, prefetch: int | None = None
    ) -> None:
        self._fetch = fetch
        self._segment_bytes = segment_bytes
        self._python = python
        most = max(1, _PREFETCH_BYTES // segment_bytes)
        self._ahead = min(4, most) if prefetch is None else prefetch
        self._lock = threading.Lock()
        self._pending: dict[str, Future[Answer]] = {}
        self._closed = False
        self.last_error: PitstopError | None = None
        self.last_served: str | None = None
        self.waiting_for: str | None = None
        self._pool = ThreadPoolExecutor(max_workers=max(1, self._ahead), thread_name_prefix="wal-fetch")
        self._script = folder / "restore.py"
        self._socket_path = folder / "wal.sock"
        self._listener = self._listen()
        self._thread = threading.Thread(target=self._serve, name="wal-service", daemon=True)
        self._thread.start()

    @property
    def restore_command(self) -> str:
        """PostgreSQL's `restore_command`."""
        call = f"{shlex.quote(str(self._python))} -I -S {shlex.quote(str(self._script))}".replace("%", "%%")
        return f'{call} "%f" "%p"; case $? in 0) exit 0;; {_PROVEN_ABSENCE}) exit 1;; *) exit 255;; esac'

    def close(self) -> None:
        """Stop serving and remove socket and script. Idempotent."""
        if self._closed:
            return
        self._closed = True
        # Wakes the thread that waits in accept(), also when the socket's file is gone already.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._socket_path.unlink(missing_ok=True)
        self._script.unlink(missing_ok=True)

    def __enter__(self) -> WalService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket_path.unlink(missing_ok=True)
            self._script.unlink(missing_ok=True)
            with self._script.open("x", encoding="ascii") as file:
                file.write(CLIENT)
            self._script.chmod(0o644)
            listener.bind(str(self._socket_path))
            # The folder is private to the server's account; root's socket must let that account in.
            self._socket_path.chmod(0o666)
            listener.listen(8)
        except OSError as error:
            listener.close()
            raise Unavailable(f"WAL cannot be served in {self._socket_path}: {error}.", code="wal-service") from error
        return listener

    def _serve(self) -> None:
        while not self._closed:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(link,), name="wal-answer", daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        """Answer one script; closing without a header tells it "not proven"."""
        with link:
            try:
                link.settimeout(600)
                name = _read_name(link)
                if not name:
                    return
                self.waiting_for = name
                answer = self._take(name)
                _send(link, answer)
                if answer is not None:
                    self.last_served = name
            except PitstopError as error:
                self.last_error = error
            except Exception as error:  # noqa: BLE001 -- whatever failed, the script must say 255 and recovery say why
                self.last_error = Unavailable(f"WAL could not be fetched: {error!r}.", code="wal-fetch")
            finally:
                self.waiting_for = None

    def _take(self, name: str) -> Answer:
        with self._lock:
            fetched = self._pending.pop(name, None)
            self._fetch_ahead(name)
        if fetched is not None:
            try:
                answer = fetched.result()
            except Exception:  # noqa: BLE001 -- a prefetch that failed is asked again, and then fails aloud
                answer = None
            if answer is not None:
                return answer
        return self._fetch(name)

    def _fetch_ahead(self, name: str) -> None:
        """Start fetching what comes after segment `name`; forget what replay jumped over. Called with the lock held."""
        try:
            timeline, number = parse_segment_name(name, self._segment_bytes)
        except ValueError:
            return
        wanted = [segment_name(timeline, number + n, self._segment_bytes) for n in range(1, self._ahead + 1)]
        for other in [known for known in self._pending if known not in wanted]:
            self._pending.pop(other).cancel()
        for other in wanted:
            if other not in self._pending:
                self._pending[other] = self._pool.submit(self._fetch, other)


def _read_name(link: socket.socket) -> str:
    text = b""
    while not text.endswith(b"\n") and len(text) < 256:
        block = link.recv(256)
        if not block:
            break
        text += block
    return text.decode("ascii").strip()


def _send(link: socket.socket, answer: Answer) -> None:
    if answer is None:
        link.sendall(b"ABSENT\n")
    elif isinstance(answer, Path):
        with answer.open("rb") as file:
            link.sendall(b"OK %d\n" % os.fstat(file.fileno()).st_size)
            link.sendfile(file)
    else:
        link.sendall(b"OK %d\n" % len(answer))
        link.sendall(answer)
