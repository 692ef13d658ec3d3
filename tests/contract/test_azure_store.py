"""What the Azure store promises beyond the suite: what objects are given, what errors say, archived blobs, many blocks."""

from __future__ import annotations

from typing import cast

import pytest

from bot.errors import Unavailable, Usage
from bot.repository.stores.azure import Azure
from bot.repository.stores.cloud import CloudStore
from tests.contract.conftest import OpenCloud
from tests.contract.faulty import FaultyProxy
from tests.contract.test_s3_store import PARTIAL, RECORDS, VOLUME, WAL, put_all, refusal


@pytest.fixture
def cloud_kind() -> str:
    """Azure alone."""
    return "azure"


def raw(store: CloudStore) -> Azure:
    """Return the store's calls."""
    return cast(Azure, store.cloud)


def test_tier_by_kind(open_through: OpenCloud) -> None:
    """Volumes and WAL go into the configured tier, in one request or in blocks; records stay where the account puts them."""
    store = open_through(storage_class="Cool")
    put_all(store)
    large = VOLUME.replace("000000", "000001")
    store.put(large, [bytes(6 << 20)])
    tiers = {path: raw(store)._blob(path).get_blob_properties().blob_tier for path in (VOLUME, WAL, large, *RECORDS)}
    assert {path for path, tier in tiers.items() if tier == "Cool"} == {VOLUME, WAL, large}


def test_leaving_the_window(open_through: OpenCloud) -> None:
    """Only volumes and WAL segments can be released to the lifecycle."""
    store = open_through()
    put_all(store)
    store.leave_window(WAL)
    assert raw(store)._blob(WAL).get_blob_tags() == {"pitstop-kind": "wal", "pitstop-window": "left"}
    for path in RECORDS:
        with pytest.raises(ValueError, match="no rule of the storage may touch it"):
            store.leave_window(path)


def test_archived_objects(open_through: OpenCloud) -> None:
    """A blob in the archive tier is seen in the listing; reading it says so, and asks for it if told to."""
    store = open_through()
    put_all(store)
    raw(store)._blob(VOLUME).set_standard_blob_tier("Archive")
    assert [info.path for info in store.list("") if info.archived] == [VOLUME]
    refused = refusal(lambda: store.read(VOLUME))
    assert refused is not None
    assert refused.reason_code == "storage-archived"
    assert 'repositories.offsite.retrieval = "standard"' in refused.hint
    refused = refusal(lambda: open_through(retrieval="expedited").read(VOLUME))
    assert refused is not None
    assert "was asked for" in refused.message
    assert raw(store)._blob(VOLUME).get_blob_properties().blob_tier != "Archive"


REFUSALS = [
    (404, "ContainerNotFound", "storage-no-bucket", "repositories.offsite.url"),
    (403, "AuthenticationFailed", "storage-credentials", "AZURE_STORAGE_KEY"),
    (401, "InvalidAuthenticationInfo", "storage-credentials", "az login"),
    (403, "AuthorizationPermissionMismatch", "storage-forbidden", "Storage Blob Data Contributor"),
    (407, "ProxyAuthenticationRequired", "storage-proxy", "HTTPS_PROXY"),
    (403, "AccountIsDisabled", "storage-refused", "Enable it"),
    (409, "BlobImmutableDueToPolicy", "storage-locked", "retention has ended"),
    (400, "InvalidHeaderValue", "storage-refused", "repositories.offsite"),
]


@pytest.mark.parametrize(("status", "word", "code", "says"), REFUSALS, ids=[word for _, word, *_ in REFUSALS])
def test_refusals(open_through: OpenCloud, proxy: FaultyProxy, status: int, word: str, code: str, says: str) -> None:
    """Each way to be refused is Unavailable at once, without another try, with a code and the setting or the role to look at."""
    store = open_through()
    proxy.spoil("", "answer", times=100, status=status, code=word, headers={"x-ms-error-code": word})
    for call in (lambda: list(store.list("")), lambda: store.read("a/b"), lambda: store.put("a/b", [b"x"])):
        before = len(proxy.requests)
        refused = refusal(call)
        assert isinstance(refused, Unavailable)
        assert refused.reason_code == code
        assert says in str(refused)
        assert len(proxy.requests) - before == 1


def test_a_clock_that_is_off(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """What Azure calls a failed authentication because of the date is told as what it is: this machine's clock."""
    code, store = "AuthenticationFailed", open_through()
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Server failed to authenticate the request. Make sure the value"
        " of Authorization header is formed correctly including the signature.\nRequestId:1\nTime:2026-11-22T02:00:00Z</Message>"
        "<AuthenticationErrorDetail>Request date header too old: 'Sun, 22 Nov 2020 02:00:00 GMT'</AuthenticationErrorDetail>"
        "</Error>"
    )
    headers = {"x-ms-error-code": code, "Content-Type": "application/xml"}
    proxy.spoil("", "answer", times=100, status=403, code=code, headers=headers, body=body.encode())
    refused = refusal(lambda: store.read("a/b"))
    assert isinstance(refused, Unavailable)
    assert refused.reason_code == "storage-clock"
    assert "timedatectl" in refused.hint


@pytest.mark.parametrize(
    ("matching", "says"),
    [
        ("^PUT ", "blobs/write"),
        ("^DELETE ", "blobs/delete"),
        ("^GET .*comp=list", "blobs/read"),
        ("^GET .*/a/b", "blobs/read"),
    ],
)
def test_which_right_is_missing(open_through: OpenCloud, proxy: FaultyProxy, matching: str, says: str) -> None:
    """A refusal names the right that is missing; the others keep working."""
    store = open_through()
    store.put("a/b", [b"x"])
    code = "AuthorizationPermissionMismatch"
    proxy.spoil(matching, "answer", times=100, status=403, code=code, headers={"x-ms-error-code": code})
    calls = (
        lambda: store.put("a/c", [b"x"]),
        lambda: list(store.list("")),
        lambda: store.read("a/b"),
        lambda: store.delete("a/b"),
    )
    [refused] = [error for error in map(refusal, calls) if error is not None]
    assert f"does not allow {says}" in refused.message


def test_the_server_says_when(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """A server that is busy and asks to wait is not asked again before."""
    store = open_through()
    proxy.spoil(
        "^PUT ", "answer", status=503, code="ServerBusy", headers={"x-ms-error-code": "ServerBusy", "Retry-After": "1"}
    )
    assert store.put("a/b", [b"x"]) == 1


def test_an_unknown_tier(open_through: OpenCloud) -> None:
    """A tier that Azure does not have is a Usage error when the repository is opened, not in the middle of a backup."""
    with pytest.raises(Usage) as caught:
        open_through(storage_class="STANDARD_IA")
    assert "storage_class" in caught.value.hint


def test_locks_and_scopes_are_asked_for(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """Immutability and encryption scope go out with each write, small or in blocks, but for pieces that come and go."""
    store = open_through(object_lock="compliance", retention="35d", encryption_scope="backups")
    for path, content in ((WAL, b"x"), (VOLUME, bytes(6 << 20)), (PARTIAL, b"x")):
        refusal(lambda path=path, content=content: store.put(path, [content]))  # type: ignore[misc]
    writes = [h for r, h in zip(proxy.requests, proxy.headers, strict=True) if r.startswith("PUT ")]
    assert {headers.get("x-ms-encryption-scope") for headers in writes} == {"backups"}
    asked = {
        path: [
            h.get("x-ms-immutability-policy-mode")
            for r, h in zip(proxy.requests, proxy.headers, strict=True)
            if ends(r, path)
        ]
        for path in (WAL, VOLUME, PARTIAL)
    }
    assert (asked[WAL], asked[VOLUME], asked[PARTIAL]) == (["Locked"], ["Locked"], [None])


def ends(request: str, path: str) -> bool:
    """Say whether a request writes an object: at once, or by committing its blocks."""
    target, _, query = request.partition("?")
    return target.startswith("PUT ") and target.endswith(path) and (not query or "comp=blocklist" in query)
