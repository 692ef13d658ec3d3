"""What the S3 store promises beyond the suite: what objects are given, what errors say, odd servers, listings of any length."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.errors import Unavailable, Usage
from bot.repository.damage import ObjectMissing
from bot.repository.stores.cloud import CloudStore
from bot.repository.stores.s3 import S3
from tests.contract.conftest import OpenCloud, open_cloud, s3_config
from tests.contract.faulty import FaultyProxy

REPOSITORY = Path(__file__).resolve().parents[2]
BACKUP = "slips/7300000000000000001/backups/20261122T020000Z-base-7f3a"
VOLUMES = "slips/7300000000000000001/volumes/20261122T020000Z-base-7f3a"
VOLUME = f"{VOLUMES}/base/000000"
WAL = "slips/7300000000000000001/wal/00000001/000000010000000000000001"
PARTIAL = f"{WAL}.partial/00000000-00001000"
RECORDS = (f"{BACKUP}/manifest", f"{VOLUMES}/base/index", "keys/abc/1", "slips/7300000000000000001/cluster.json")


@pytest.fixture
def cloud_kind() -> str:
    """S3 alone."""
    return "s3"


def raw(store: CloudStore) -> S3:
    """Return the store's calls, to look at what lies in the bucket."""
    return cast(S3, store.cloud)


def put_all(store: CloudStore) -> None:
    """Put an object of each kind."""
    for path in (VOLUME, WAL, PARTIAL, *RECORDS):
        store.put(path, [b"x"])


def tags_of(store: CloudStore, path: str) -> dict[str, str]:
    """Return an object's tags."""
    return {tag["Key"]: tag["Value"] for tag in raw(store).call("get_object_tagging", path)["TagSet"]}


def test_class_and_encryption_by_kind(open_through: OpenCloud) -> None:
    """Volumes and WAL go into the configured class and records stay in the standard one; all are encrypted as configured."""
    store = open_through(storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id="alias/backups")
    put_all(store)
    found = {path: raw(store).call("head_object", path) for path in (VOLUME, WAL, PARTIAL, *RECORDS)}
    assert {path for path, head in found.items() if head.get("StorageClass") == "STANDARD_IA"} == {VOLUME, WAL}
    assert {head["ServerSideEncryption"] for head in found.values()} == {"aws:kms"}
    assert {head["SSEKMSKeyId"] for head in found.values()} == {"alias/backups"}


def test_tags_by_kind(open_through: OpenCloud) -> None:
    """With tags, the bulk says what it is, and nothing else carries a tag that a lifecycle rule could ask for."""
    store = open_through(tags=True)
    put_all(store)
    assert {path: tags_of(store, path) for path in (VOLUME, WAL, PARTIAL)} == {
        VOLUME: {"pitstop-kind": "volume"},
        WAL: {"pitstop-kind": "wal"},
        PARTIAL: {"pitstop-kind": "partial"},
    }
    assert not any(tags_of(store, path) for path in RECORDS)


def test_leaving_the_window(open_through: OpenCloud) -> None:
    """Only volumes and WAL segments can be released to the lifecycle, and only where they are."""
    store = open_through()
    put_all(store)
    store.leave_window(VOLUME)
    assert tags_of(store, VOLUME) == {"pitstop-kind": "volume", "pitstop-window": "left"}
    for path in (*RECORDS, PARTIAL):
        with pytest.raises(ValueError, match="no rule of the storage may touch it"):
            store.leave_window(path)
        assert "pitstop-window" not in tags_of(store, path)
    with pytest.raises(ObjectMissing):
        store.leave_window(VOLUME.replace("000000", "000001"))


def test_object_lock(proxy: FaultyProxy) -> None:
    """Objects are locked for the retention from when they are written; partial pieces and probes are not, so they can go."""
    lock: dict[str, Any] = {"object_lock": "governance", "retention": "35d", "bucket": "locked"}
    store = open_cloud("s3", proxy.url, "x", **lock)
    list(store.place().setup(dry_run=False))
    put_all(store)
    store.put("check/0011", [b"x"])
    store.put(f"{VOLUMES}/base/000001", [bytes(6 << 20)])
    [begin] = [h for r, h in zip(proxy.requests, proxy.headers, strict=True) if r.endswith("?uploads")]
    assert begin["x-amz-object-lock-mode"] == "GOVERNANCE"
    for path in (VOLUME, WAL, *RECORDS):
        head = raw(store).call("head_object", path)
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert abs(head["ObjectLockRetainUntilDate"] - datetime.now(UTC) - timedelta(days=35)) < timedelta(hours=1)
    for path in (PARTIAL, "check/0011"):
        assert "ObjectLockMode" not in raw(store).call("head_object", path)
    store.delete(PARTIAL)
    assert not store.exists(PARTIAL)
    store.close()


def test_archived_objects(open_through: OpenCloud) -> None:
    """An object in Glacier is seen in the listing; reading it says that it has to be retrieved, and asks for that if told to."""
    store = open_through()
    raw(store).call("put_object", VOLUME, Body=b"cold", StorageClass="GLACIER")
    store.put(WAL, [b"warm"])
    assert {info.path: info.archived for info in store.list("")} == {VOLUME: True, WAL: False}
    with pytest.raises(Unavailable) as caught:
        store.read(VOLUME)
    assert caught.value.reason_code == "storage-archived"
    assert 'repositories.offsite.retrieval = "standard"' in caught.value.hint
    assert "Restore" not in raw(store).call("head_object", VOLUME)
    with pytest.raises(Unavailable, match="was asked for") as caught:
        open_through(retrieval="bulk").read(VOLUME)
    assert "Restore" in raw(store).call("head_object", VOLUME)


def test_checksums_for_aws(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """With checksums each object and part carries its SHA-256, which the server keeps."""
    store = open_through(checksums="sha256")
    store.put("a/small", [b"x"])
    store.put("a/large", [bytes(6 << 20)])
    assert store.read("a/large") == bytes(6 << 20)
    sent = [h for r, h in zip(proxy.requests, proxy.headers, strict=True) if r.startswith("PUT ")]
    assert len(sent) == 3
    assert all("x-amz-checksum-sha256" in headers for headers in sent)


def test_no_checksums_for_others(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """A server that is not AWS gets plain bodies: no checksum headers, no trailers, which some of them refuse."""
    store = open_through()
    store.put("a/small", [b"x"])
    store.put("a/large", [bytes(6 << 20)])
    assert store.read("a/small") == b"x"
    for headers in proxy.headers:
        assert not [
            name for name in headers if name.startswith(("x-amz-checksum", "x-amz-sdk-checksum", "x-amz-trailer"))
        ]
        assert "aws-chunked" not in headers.get("content-encoding", "")


def test_a_server_without_conditions(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """A server that does not know conditional writes is asked without, after a look; what is there is still not replaced."""
    store = open_through()
    proxy.spoil("^PUT ", "answer", status=501, code="NotImplemented")
    store.put("a/b", [b"first"])
    store.put("a/c", [b"x"])
    assert "if-none-match" not in proxy.headers[-1]
    with pytest.raises(Exception, match="was not touched"):
        store.put("a/b", [b"second"])
    assert store.read("a/b") == b"first"


def test_check_finds_a_server_that_overwrites(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """The probe of `pitstop check` tells a server that keeps to conditions from one that ignores them."""
    store = open_through()
    store.put("check/00", [b"x"])
    assert store.overwrites("check/00") is False
    proxy.spoil("^PUT ", "answer", status=200, body=b"", headers={"ETag": '"x"'})
    assert store.overwrites("check/00") is True


def test_stale_listings(open_through: OpenCloud, proxy: FaultyProxy) -> None:
    """A server whose listings lag shows what this process wrote and not what it deleted, as others will see it in a moment."""
    store = open_through()
    store.put("a/1", [b"1"])
    store.put("a/3", [b"3"])
    proxy.spoil("list-type=2", "stale", times=1000)
    assert [info.path for info in store.list("a")] == ["a/1", "a/3"]
    assert store.children("") == ["a"]
    store.put("a/2", [b"22"])
    store.put("b/1", [b"1"])
    store.delete("a/3")
    assert [(info.path, info.size) for info in store.list("a")] == [("a/1", 1), ("a/2", 2)]
    assert store.children("") == ["a", "b"]
    store.delete("b/1")
    assert store.children("") == ["a"]


def test_what_others_put_there_is_no_object(open_through: OpenCloud) -> None:
    """Folder markers of consoles and hidden names are neither listed nor children."""
    store = open_through()
    store.put("a/b", [b"x"])
    for name in ("a/", "a/.hidden", "b c", "c/"):
        raw(store).call("put_object", name, Body=b"")
    assert [info.path for info in store.list("")] == ["a/b"]
    assert store.children("a") == ["b"]


REFUSALS = [
    # what the server answers, what the error is and says
    ((404, "NoSuchBucket", {}), "storage-no-bucket", "repositories.offsite.url"),
    (
        (301, "PermanentRedirect", {"x-amz-bucket-region": "eu-central-1"}),
        "storage-wrong-region",
        'region = "eu-central-1"',
    ),
    ((400, "AuthorizationHeaderMalformed", {"x-amz-bucket-region": "eu-west-1"}), "storage-wrong-region", "eu-west-1"),
    ((403, "InvalidAccessKeyId", {}), "storage-credentials", "AWS_ACCESS_KEY_ID"),
    ((403, "SignatureDoesNotMatch", {}), "storage-credentials", "SignatureDoesNotMatch"),
    ((400, "ExpiredToken", {}), "storage-credentials", "ExpiredToken"),
    ((403, "RequestTimeTooSkewed", {"Date": "Sun, 22 Nov 2020 02:00:00 GMT"}), "storage-clock", "ahead"),
    ((403, "AccessDenied", {}), "storage-forbidden", "docs/storage.md"),
    ((407, "ProxyAuthenticationRequired", {}), "storage-proxy", "HTTPS_PROXY"),
    ((400, "KMS.DisabledException", {}), "storage-kms", "sse_kms_key_id"),
    ((507, "XMinioStorageFull", {}), "storage-full", "room"),
    ((400, "InvalidStorageClass", {}), "storage-refused", "repositories.offsite"),
]


@pytest.mark.parametrize(("answer", "code", "says"), REFUSALS, ids=[answer[1] for answer, *_ in REFUSALS])
def test_refusals(
    open_through: OpenCloud, proxy: FaultyProxy, answer: tuple[int, str, dict[str, str]], code: str, says: str
) -> None:
    """Each way to be refused is Unavailable at once, without another try, with a code and the setting or the tool to look at."""
    store = open_through()
    status, word, headers = answer
    proxy.spoil("", "answer", times=100, status=status, code=word, headers=headers)
    for call in (
        lambda: list(store.list("")),
        lambda: store.read("a/b"),
        lambda: raw(store).put("a/b", bytearray(b"x"), "m"),
        lambda: store.exists("a/b"),  # a HEAD, whose answer has no body and so no word
        lambda: raw(store).call("head_bucket", None),
    ):
        before = len(proxy.requests)
        refused = refusal(call)
        assert refused is not None
        assert refused.reason_code == code
        assert says in str(refused)
        assert len(proxy.requests) - before <= 3  # boto3 itself asks for the region where the answer is a 400


@pytest.mark.parametrize(
    ("matching", "says"),
    [
        ("^PUT ", "s3:PutObject"),
        ("^DELETE ", "s3:DeleteObject"),
        ("^GET .*list-type", "s3:ListBucket"),
        ("^GET .*/a/b", "s3:GetObject"),
        ("^GET .*uploads", "s3:ListBucketMultipartUploads"),
    ],
)
def test_which_permission_is_missing(open_through: OpenCloud, proxy: FaultyProxy, matching: str, says: str) -> None:
    """A refusal names the permission that is missing, so that it can be granted; the others keep working."""
    store = open_through(bucket_owner="123456789012")
    store.put("a/b", [b"x"])
    proxy.spoil(matching, "answer", times=100, status=403, code="AccessDenied")
    calls = (
        lambda: store.put("a/c", [b"x"]),
        lambda: list(store.list("")),
        lambda: store.read("a/b"),
        lambda: store.sweep(datetime.now(UTC)),
        lambda: store.delete("a/b"),
    )
    refused = [error for error in map(refusal, calls) if error is not None]
    assert [error.reason_code for error in refused] == ["storage-forbidden"]
    assert f"does not allow {says}" in refused[0].message
    assert "repositories.offsite.bucket_owner" in refused[0].hint


@pytest.mark.parametrize(
    ("matching", "says"), [("^PUT .*tagging", "s3:PutObjectTagging"), ("^POST .*restore", "s3:RestoreObject")]
)
def test_rights_that_only_the_lifecycle_needs(
    open_through: OpenCloud, proxy: FaultyProxy, matching: str, says: str
) -> None:
    """Without the right to tag or to retrieve everything else works, and the refusal names the right."""
    store = open_through(retrieval="bulk")
    store.put(WAL, [b"x"])
    raw(store).call("put_object", VOLUME, Body=b"cold", StorageClass="GLACIER")
    proxy.spoil(matching, "answer", times=100, status=403, code="AccessDenied")
    calls = (lambda: store.leave_window(WAL), lambda: store.enter_window(WAL), lambda: store.retrieve(VOLUME))
    refused = [error for error in map(refusal, calls) if error is not None]
    assert {error.reason_code for error in refused} == {"storage-forbidden"}
    assert all(f"does not allow {says}" in error.message for error in refused)
    assert store.read(WAL) == b"x"


def refusal(call: Callable[[], object]) -> Unavailable | None:
    """Return what a call was refused with."""
    try:
        call()
    except Unavailable as error:
        return error
    return None


def test_a_missing_bucket_is_no_empty_one(s3_server: str) -> None:
    """In a bucket that is not there nothing is said to be absent."""
    store = open_cloud("s3", s3_server, "x", bucket="nowhere")
    for call in (lambda: store.exists("a/b"), lambda: store.get("a/b"), lambda: store.children("")):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.reason_code == "storage-no-bucket"
        assert "pitstop storage setup" in caught.value.hint
    store.close()


def test_no_credentials(s3_server: str) -> None:
    """Without credentials one is told where they are looked for."""
    script = (
        "import sys; from tests.contract.conftest import open_cloud\n"
        "try: open_cloud('s3', sys.argv[1], 'x').exists('a')\n"
        "except Exception as error: print(type(error).__name__, error.reason_code, error)"
    )
    clean = {k: v for k, v in os.environ.items() if k not in {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}
    done = subprocess.run(
        [sys.executable, "-c", script, s3_server], env=clean, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Unavailable storage-credentials")
    assert "AWS_PROFILE" in done.stdout


def test_unusable_settings() -> None:
    """A region that cannot be one is a Usage error with the setting's name."""
    with pytest.raises(Usage) as caught:
        S3("offsite", s3_config("http://127.0.0.1:1", region="not a region!"))
    assert "repositories.offsite.region" in caught.value.hint


class PretendListing(BaseHTTPRequestHandler):
    """A bucket of 100,000 WAL segments that answers listings alone, and at once."""

    protocol_version = "HTTP/1.1"
    count = 100_000
    asked: list[dict[str, list[str]]]

    def do_GET(self) -> None:
        """Answer one page."""
        query = parse_qs(urlsplit(self.path).query)
        self.asked.append(query)
        start = int(query.get("continuation-token", ["0"])[0])
        end = min(start + int(query["max-keys"][0]), self.count)
        rows = "".join(
            f"<Contents><Key>x/wal/{n:024X}</Key><LastModified>2026-11-22T02:00:00.000Z</LastModified><Size>16</Size></Contents>"
            for n in range(start, end)
        )
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < self.count else ""
        cut = "true" if more else "false"
        body = f"<ListBucketResult><IsTruncated>{cut}</IsTruncated>{more}{rows}</ListBucketResult>".encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def pretend(environment: None) -> Iterator[str]:
    """The address of the pretended bucket."""
    PretendListing.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), PretendListing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_hundred_thousand_objects(pretend: str) -> None:
    """100,000 objects take 100 requests, come in order and as they arrive."""
    store = open_cloud("s3", pretend, "x")
    listing = store.list("wal")
    next(listing)
    assert len(PretendListing.asked) == 1
    paths = [info.path for info in listing]
    assert len(paths) == 99_999
    assert paths == sorted(paths)
    assert len(PretendListing.asked) == 100
    store.close()
