"""Uploads of copies that a kill interrupted: what arrived is used, compared by its checksum, and never believed blindly."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Conflict, Unavailable
from bot.repository.stores.cloud import CloudStore
from bot.repository.stores.patience import Patience
from bot.repository.stores.s3 import S3
from tests.contract.conftest import PART_BYTES, open_cloud
from tests.contract.faulty import FaultyProxy

PATH = "slips/7300000000000000001/volumes/20261122T020000Z-base-7f3a/base/000000"
PARTS = 5
CONTENT = random.Random(4).randbytes(PARTS * PART_BYTES - 1000)


@pytest.fixture(params=["s3", "azure"])
def cloud_kind(request: pytest.FixtureRequest) -> str:
    """Both."""
    return str(request.param)


def chunks(content: bytes = CONTENT, *, end: int | None = None) -> Iterator[bytes]:
    """Yield content as a copy reads it; at `end` this process is killed, as by the kernel."""
    for at in range(0, len(content), 100_000):
        if end is not None and at >= end:
            os.kill(os.getpid(), signal.SIGKILL)
        yield content[at : at + 100_000]


def upload_and_die(kind: str, endpoint: str, prefix: str, end: str, more: str) -> None:
    """What the process does that is killed; see `killed_at`."""
    open_cloud(kind, endpoint, prefix, **json.loads(more)).resume(PATH, chunks(end=int(end)))


def killed_at(kind: str, endpoint: str, prefix: str, end: int, **more: Any) -> None:
    """Begin the upload in a process of its own, which is killed once `end` bytes were read."""
    program = "import sys; from tests.contract.test_resumed import upload_and_die; upload_and_die(*sys.argv[1:])"
    argv = [sys.executable, "-c", program, kind, endpoint, prefix, str(end), json.dumps(more)]
    done = subprocess.run(argv, cwd=Path(__file__).resolve().parents[2], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def sent(proxy: FaultyProxy) -> int:
    """Return how many parts were sent since the last look."""
    found = [r for r in proxy.requests if r.startswith("PUT ") and ("partNumber=" in r or "comp=block&" in f"{r}&")]
    proxy.requests.clear()
    return len(found)


@pytest.fixture
def store(cloud_kind: str, proxy: FaultyProxy, closing: contextlib.ExitStack) -> CloudStore:
    """Open the store through the counting proxy."""
    found = open_cloud(cloud_kind, proxy.url, "resumed")
    closing.callback(found.close)
    found.delete(PATH)
    return found


@pytest.mark.parametrize(("cloud_kind", "checksums"), [("s3", "sha256"), ("s3", "when_required"), ("azure", None)])
def test_killed_in_the_middle(
    cloud_kind: str, proxy: FaultyProxy, closing: contextlib.ExitStack, checksums: str | None
) -> None:
    """After a kill -9 nothing is visible, and the next attempt sends only the parts that are not there; the object is right."""
    more: dict[str, Any] = {"checksums": checksums} if checksums else {}
    prefix = f"killed-{checksums}"
    killed_at(cloud_kind, proxy.url, prefix, 4 * PART_BYTES, **more)
    first = sent(proxy)
    assert 1 <= first < PARTS
    store = open_cloud(cloud_kind, proxy.url, prefix, **more)
    closing.callback(store.close)
    assert not store.exists(PATH)
    assert list(store.list("")) == []
    assert store.resume(PATH, chunks()) == len(CONTENT)
    # The kill may have cut a part off on its way: that one is sent again.
    assert PARTS - first <= sent(proxy) < PARTS
    assert store.read(PATH) == CONTENT
    with pytest.raises(Conflict):
        store.resume(PATH, chunks())


def test_what_differs_is_sent_again(cloud_kind: str, proxy: FaultyProxy, store: CloudStore) -> None:
    """Parts of other content that an earlier upload of the same path left are not used, whatever their size."""
    killed_at(cloud_kind, proxy.url, "resumed", 4 * PART_BYTES)
    first = sent(proxy)
    other = CONTENT[: PART_BYTES + 7] + b"?" + CONTENT[PART_BYTES + 8 :]
    assert store.resume(PATH, chunks(other)) == len(other)
    assert PARTS - first < sent(proxy) <= PARTS, "the second as well"
    assert store.read(PATH) == other


def test_an_error_of_the_content_leaves_nothing(cloud_kind: str, store: CloudStore) -> None:
    """When the source turns out damaged the parts are dropped, as by any put; a plain put never uses another's parts."""

    def damaged() -> Iterator[bytes]:
        yield CONTENT[: 3 * PART_BYTES]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.resume(PATH, damaged())
    if cloud_kind == "s3":
        cloud = store.cloud
        assert isinstance(cloud, S3)
        assert not cloud.call("list_multipart_uploads", None, Prefix="resumed/").get("Uploads")
    store.put(PATH, chunks())
    assert store.read(PATH) == CONTENT


def test_a_storage_that_was_away(cloud_kind: str, proxy: FaultyProxy, closing: contextlib.ExitStack) -> None:
    """A put that gave up because the storage failed leaves its parts to the next one, which sends the rest."""
    hasty = Patience(for_s=0.2, quick_s=0.2, first_s=0.01, most_s=0.05)
    store = open_cloud(cloud_kind, proxy.url, "away", patience=hasty)
    closing.callback(store.close)
    matching = "PUT .*partNumber=4" if cloud_kind == "s3" else "PUT .*comp=block&.*"
    proxy.spoil(matching, "answer", times=1000, skip=0 if cloud_kind == "s3" else 3)
    with pytest.raises(Unavailable):
        store.resume(PATH, chunks())
    proxy.heal()
    proxy.requests.clear()
    assert store.resume(PATH, chunks()) == len(CONTENT)
    assert sent(proxy) < PARTS
    assert store.read(PATH) == CONTENT
