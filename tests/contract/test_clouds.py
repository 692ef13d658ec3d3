"""What every cloud store promises when its server is slow, failing or lying: through a faulty proxy on loopback."""

from __future__ import annotations

import random
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Conflict, Unavailable
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.stores.cloud import CloudStore
from tests.contract.conftest import IMPATIENT, PART_BYTES, OpenCloud, open_cloud
from tests.contract.faulty import FaultyProxy, Kind
from tests.contract.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
LATER = datetime.now(UTC) + timedelta(days=1)
PART = {"s3": r"^PUT .*[?&]partNumber=", "azure": r"^PUT .*comp=block(&|$)"}
FINISH = {"s3": r"^POST .*uploadId=", "azure": r"^PUT .*comp=blocklist"}
PUT = {"s3": r"^PUT [^?]*$", "azure": r"^PUT [^?]*$"}
LIST = {"s3": r"^GET .*list-type=2", "azure": r"^GET .*comp=list"}
LARGE = random.Random(7).randbytes(2 * PART_BYTES + 12345)


def read_of(path: str) -> str:
    """Return a pattern of requests that read an object."""
    return rf"^GET [^?]*/{path}(\?|$)"


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        ("answer", {"status": 500, "code": "InternalError"}),
        ("answer", {"status": 503, "code": "SlowDown"}),
        ("reset", {}),
        ("lost", {}),
        ("truncate", {"at": 0}),
    ],
)
def test_a_small_write_survives(
    cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy, fault: Kind, more: dict[str, Any]
) -> None:
    """A write that fails, or whose answer is lost after it was carried out, is tried again and succeeds exactly once."""
    store = open_through()
    proxy.spoil(PUT[cloud_kind], fault, times=2, **more)
    assert store.put("a/b", [b"content"]) == 7
    assert store.read("a/b") == b"content"
    with pytest.raises(Conflict):
        store.put("a/b", [b"other"])


@pytest.mark.parametrize("fault", ["answer", "reset", "lost"])
def test_only_the_part_is_sent_again(cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy, fault: Kind) -> None:
    """An object of three parts, the second of which fails twice, takes five sends of a part, and comes back whole."""
    store = open_through()
    proxy.spoil(PART[cloud_kind], fault, times=2, skip=1)
    assert store.put("a/large", (LARGE[i : i + 300_000] for i in range(0, len(LARGE), 300_000))) == len(LARGE)
    assert proxy.count(PART[cloud_kind]) == 5
    assert store.read("a/large") == LARGE


@pytest.mark.parametrize("fault", ["answer", "reset", "lost"])
def test_the_end_of_an_upload_is_asked_again(
    cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy, fault: Kind
) -> None:
    """When the last request fails, or only its answer is lost, the object is there once and no part is sent again."""
    store = open_through()
    proxy.spoil(FINISH[cloud_kind], fault, times=1)
    store.put("a/large", [LARGE])
    assert proxy.count(PART[cloud_kind]) == 3
    assert store.read("a/large") == LARGE
    assert [(info.path, info.size) for info in store.list("")] == [("a/large", len(LARGE))]
    assert store.sweep(LATER) == 0


def test_two_uploads_of_one_path(open_through: OpenCloud) -> None:
    """Of two uploads in parts of one path, begun before either ended, the first to end wins, and the object is its alone."""
    one, other = open_through(), open_through()

    def slower() -> Iterator[bytes]:
        yield LARGE
        assert one.put("a/contended", [LARGE[::-1]]) == len(LARGE)
        yield b"end"

    with pytest.raises(Conflict):
        other.put("a/contended", slower())
    assert one.read("a/contended") == LARGE[::-1]
    assert one.sweep(LATER) == 0


@pytest.mark.parametrize(("fault", "at"), [("truncate", 0), ("truncate", 100_001), ("break", 100_001)])
def test_a_body_that_ends_early(open_through: OpenCloud, proxy: FaultyProxy, fault: Kind, at: int) -> None:
    """A body that ends early is noticed, also when its length lies about it; what is missing is asked for again, and only that."""
    store = open_through()
    store.put("a/large", [LARGE])
    proxy.spoil(read_of("a/large"), fault, times=2, at=at)
    assert store.read("a/large") == LARGE
    proxy.spoil(read_of("a/large"), fault, times=2, at=at)
    assert b"".join(store.get("a/large", 1000, 5_000_000)) == LARGE[1000:5_001_000]


@pytest.mark.parametrize("fault", ["answer", "reset"])
def test_reading_survives(open_through: OpenCloud, proxy: FaultyProxy, fault: Kind) -> None:
    """Reads, questions and listings that fail are asked again."""
    store = open_through()
    store.put("a/b", [b"content"])
    proxy.spoil("^(GET|HEAD) ", fault, times=2)
    assert store.read("a/b") == b"content"
    proxy.spoil("^(GET|HEAD) ", fault, times=2)
    assert store.exists("a/b")
    proxy.spoil("^(GET|HEAD) ", fault, times=2)
    assert [info.path for info in store.list("")] == ["a/b"]
    proxy.spoil("^(GET|HEAD) ", fault, times=2)
    assert store.children("") == ["a"]
    proxy.spoil("^DELETE ", fault, times=2)
    store.delete("a/b")
    assert not store.exists("a/b")


@pytest.mark.parametrize(("fault", "at"), [("truncate", 0), ("truncate", 150), ("break", 150)])
def test_a_listing_that_ends_early(
    cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy, fault: Kind, at: int
) -> None:
    """A listing that was cut short, also one whose length lies about it, is never a shorter list: it is asked for again."""
    store = open_through()
    names = [f"a/{n}" for n in range(5)]
    for name in names:
        store.put(name, [b"x"])
    store = open_through()  # one that wrote nothing, and so knows nothing better
    proxy.spoil(LIST[cloud_kind], fault, times=2, at=at)
    assert [info.path for info in store.list("")] == names
    proxy.heal()
    proxy.spoil(LIST[cloud_kind], fault, times=2, at=at)
    assert store.children("a") == [name[2:] for name in names]


def test_a_read_that_breaks_off_at_once(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """A connection that breaks before the first block is asked again like any other."""
    store = open_through()
    store.put("a/b", [b"content"])
    proxy.spoil(read_of("a/b"), "break", times=2, at=3)
    assert store.read("a/b") == b"content"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (
            b"<html><body>Sign in</body></html>",
            {"Content-Type": "text/html", "Last-Modified": "Sun, 22 Nov 2026 02:00:00 GMT"},
        ),
        (b"", {}),
        (b'{"ok": true}', {"Content-Type": "application/json"}),
    ],
    ids=["page", "nothing", "json"],
)
def test_something_else_answers(
    open_through: OpenCloud, proxy: FaultyProxy, body: bytes, headers: dict[str, str]
) -> None:
    """A console, a log-in page or a proxy that says 200 to everything: never an empty repository, nor an object that is there;
    Unavailable, naming the setting, and when it has passed all is as it was."""
    store = open_through()
    store.put("a/b", [b"content"])
    store = open_through(patience={"for_s": 0.2, "quick_s": 0.2})
    proxy.spoil("", "answer", times=100_000, status=200, body=body, headers=headers)
    calls: list[Callable[[], object]] = [
        lambda: list(store.list("")),
        lambda: store.children(""),
        lambda: store.exists("a/b"),
        lambda: store.exists("a/other"),
        lambda: store.read("a/b"),
        lambda: store.put("a/c", [b"new"]),
        lambda: store.put("a/large", [LARGE]),
    ]
    for call in calls:
        with pytest.raises(Unavailable) as caught:
            call()
        # What is not XML at all is an error of the server to boto3.
        assert caught.value.reason_code in {"storage-stranger", "storage-failed"}, caught.value
        assert caught.value.reason_code == "storage-failed" or "repositories.offsite" in caught.value.hint
    proxy.heal()
    assert [info.path for info in store.list("")] == ["a/b"]
    assert store.read("a/b") == b"content"


def test_a_server_that_hangs(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """An answer that does not come in time is given up and asked for again."""
    store = open_through(timeout_s=0.3)
    store.put("a/b", [b"content"])
    proxy.spoil("^GET ", "slow", times=1, at=1)
    assert store.read("a/b") == b"content"
    assert proxy.count(read_of("a/b")) == 2


def test_an_object_replaced_while_it_is_read(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """When the rest of an object is asked for and it is another object by now, that is damage, never a mixture."""
    store = open_through()
    store.put("a/b", [bytes(9 << 20)])
    proxy.spoil(read_of("a/b"), "truncate", at=5 << 20)
    blocks = store.get("a/b")
    next(blocks)
    store.delete("a/b")
    store.put("a/b", [b"\1" * (9 << 20)])
    with pytest.raises(ObjectDamaged):
        b"".join(blocks)


@pytest.mark.parametrize("size", [10, len(LARGE)], ids=["small", "in parts"])
def test_a_server_that_never_recovers(open_through: OpenCloud, proxy: FaultyProxy, size: int) -> None:
    """Past the deadline the write fails with one sentence; nothing is visible, and what was sent is swept once it is back."""
    store = open_through(patience={"for_s": 0.5})
    store.exists("warm/up")
    proxy.spoil("^(PUT|POST|DELETE) .*", "answer", times=10_000, skip=2 if size > 10 else 0)
    with pytest.raises(Unavailable) as caught:
        store.put("a/b", [LARGE[:size]])
    assert caught.value.reason_code == "storage-failed"
    assert "tried" in caught.value.message
    proxy.heal()
    assert [*store.list(""), *store.children("")] == []
    store.sweep(LATER)
    assert store.sweep(LATER) == 0
    assert store.put("a/b", [b"again"]) == 5


def test_a_server_that_is_not_there(cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """Where nobody answers, one is told soon, with the setting to look at."""
    store = open_through(patience={"quick_s": 0.05})
    proxy.close()
    with pytest.raises(Unavailable) as caught:
        store.exists("a/b")
    assert caught.value.reason_code == "storage-unreachable"
    assert "repositories.offsite.endpoint_url" in caught.value.hint or "endpoint_url" in caught.value.hint


UNREACHABLE = "192.0.2.1:9000"
"""An address that documentation alone may use: nothing is ever there."""


@pytest.fixture
def open_elsewhere(
    cloud_kind: str, proxy: FaultyProxy, closing: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], CloudStore]:
    """Open a store at an address that only a proxy reaches, with that proxy in the environment."""

    def open_it(address: str) -> CloudStore:
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.setenv("HTTP_PROXY", address)
        hasty = replace(IMPATIENT, quick_s=0.05)
        store = open_cloud(cloud_kind, f"http://{UNREACHABLE}{proxy.path}", secrets.token_hex(8), patience=hasty)
        closing.callback(store.close)
        return store

    return open_it


def test_through_a_proxy(open_elsewhere: Callable[[str], CloudStore], proxy: FaultyProxy) -> None:
    """With a proxy in the environment every request goes through it, small, in parts, reads, listings and deletions."""
    store = open_elsewhere(proxy.url.removesuffix(proxy.path))
    store.put("a/b", [b"content"])
    store.put("a/large", [LARGE])
    assert store.read("a/large") == LARGE
    assert [info.path for info in store.list("")] == ["a/b", "a/large"]
    store.delete("a/b")
    assert store.children("a") == ["large"]
    assert proxy.requests
    assert all(f" http://{UNREACHABLE}/" in request for request in proxy.requests)


def test_a_proxy_that_is_not_there(open_elsewhere: Callable[[str], CloudStore]) -> None:
    """It is said that nobody is reached, and to look at the proxy; what it is logged in with is not shown."""
    store = open_elsewhere(f"http://pitstop:hunter2@127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable) as caught:
        store.exists("a/b")
    assert caught.value.reason_code == "storage-unreachable"
    assert "proxy" in caught.value.hint
    assert "hunter2" not in str(caught.value)


def test_listings_are_paged(cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy, closing: ExitStack) -> None:
    """1,010 objects come in order and once each, with one request for a thousand; a page that fails is asked for again alone."""
    store = open_through()
    direct = open_cloud(cloud_kind, f"http://{proxy.upstream}{proxy.path}", store.url.rpartition("/")[2])
    closing.callback(direct.close)
    names = sorted(f"a/{n % 7}/{n:05d}" for n in range(1010))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: direct.cloud.put(name, bytearray(b"x"), ""), names))
    proxy.requests.clear()
    assert [info.path for info in store.list("a")] == names
    pages = proxy.count(LIST[cloud_kind])
    assert pages <= 2
    proxy.spoil(LIST[cloud_kind], "answer", skip=pages - 1)
    assert [info.path for info in store.list("")] == names
    assert proxy.count(LIST[cloud_kind]) == 2 * pages + 1
    assert store.children("a") == [str(n) for n in range(7)]


ENDLESS = """
import sys
from pathlib import Path
from typing import Any
from tests.contract.conftest import open_cloud

def content():
    yield bytes(11 << 20)
    print("sent", flush=True)
    sys.stdin.read()
    yield b"end"

open_cloud(*sys.argv[1:]).put("a/b/object", content())
"""


def test_a_killed_writer_leaves_nothing_visible(cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """kill -9 in the middle of an upload: no object, no child, the path is free; what was sent is swept (Azure does so itself)."""
    store = open_through()
    prefix = store.url.rpartition("/")[2]
    argv = [sys.executable, "-c", ENDLESS, cloud_kind, proxy.url, prefix]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"sent\n"
        while proxy.count(PART[cloud_kind]) < 2:
            time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
    assert [*store.list(""), *store.children("")] == []
    assert not store.exists("a/b/object")
    with pytest.raises(ObjectMissing):
        store.get("a/b/object")
    assert store.sweep(datetime.now(UTC) - timedelta(hours=1)) == 0, "it is young"
    assert store.sweep(LATER) == (1 if cloud_kind == "s3" else 0)
    assert store.sweep(LATER) == 0
    assert store.put("a/b/object", [b"z"]) == 1


def test_a_sweep_spares_an_upload_of_this_process(open_through: OpenCloud) -> None:
    """A sweep in the middle of an upload in parts leaves it alone."""
    store = open_through()

    def content() -> Iterator[bytes]:
        yield LARGE
        assert store.sweep(LATER) == 0
        yield b"end"

    store.put("a/live", content())
    assert store.read("a/live") == LARGE + b"end"


def test_the_url_holds_no_secret(open_through: OpenCloud) -> None:
    """What people see of a store names bucket and prefix, and nothing that opens it."""
    assert re.fullmatch(r"(s3://backups|azure://devstoreaccount1/backups)/[0-9a-f]{16}", open_through().url)


def test_one_part_given_up_ends_the_others(cloud_kind: str, open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """When the content breaks off, parts that wait for another try do not: the put ends at once, whatever the patience."""
    store = open_through(patience={"for_s": 10_000, "first_s": 1000, "most_s": 1000})
    proxy.spoil(PART[cloud_kind], "answer", times=1000)

    def content() -> Iterator[bytes]:
        yield LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.put("a/b", content())
    proxy.heal()
    assert [*store.list("")] == []
