"""S3 and what speaks its protocol, through botocore; the only file that knows its words for storage."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.config import Config as BotoConfig

from bot import __version__
from bot.errors import PitstopError, Unavailable, Usage
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.layout import kind_of
from bot.repository.stores import ObjectInfo
from bot.repository.stores.cloud import CloudStore, Head, Left, Page, Sleep, Taken, Unfinished
from bot.repository.stores.lifecycle import KIND_TAG, LEFT, WINDOW_TAG, check_may_leave
from bot.repository.stores.patience import Again, Patience
from bot.repository.stores.place import Place
from bot.repository.stores.s3_errors import Answer, Bucket, credentials, is_missing, stranger, translate
from bot.repository.stores.s3_session import session

if TYPE_CHECKING:
    from bot.config import RepositoryConfig

_MARK = "pitstop-put"
_PAGE = 1000
_ASLEEP = {"GLACIER", "DEEP_ARCHIVE"}
_TIERS = {"bulk": "Bulk", "standard": "Standard", "expedited": "Expedited"}
_RETRIEVED_DAYS = 7
_CONNECTIONS = 16
_TAKEN = {"PreconditionFailed", "412"}
_RANGE = re.compile(r"^bytes (\d+)-\d+/(\d+)$")


def open_s3(name: str, config: RepositoryConfig) -> CloudStore:
    """Open the store of repository `name`; no request is made.

    Raises:
        Usage: `storage-settings`, botocore cannot work with the settings or with those of its own files.
    """
    patience = Patience(for_s=config.retry_for.total_seconds()) if config.retry_for else Patience()
    return CloudStore(S3(name, config), patience)


class S3:
    """The calls of `Cloud` for one bucket and prefix. Thread-safe."""

    def __init__(self, name: str, config: RepositoryConfig, *, read_timeout_s: float = 60.0) -> None:
        self.name, self.prefix = config.place
        self.url = f"s3://{self.name}/{self.prefix}".rstrip("/")
        self.config = config
        self._before = f"{self.prefix}/" if self.prefix else ""
        where = f"repositories.{name}"
        self._client = _client(config, where, read_timeout_s)
        host = urlsplit(self._client.meta.endpoint_url).netloc
        self.aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
        self.consistent = self.aws
        self.look_first = not self.aws
        self.region = self._client.meta.region_name
        self.bucket = Bucket(
            where=where,
            name=self.name,
            host=host,
            region=self.region,
            owner=config.bucket_owner,
            locked=config.object_lock is not None,
        )
        self.tags = self.aws if config.tags is None else config.tags
        checksums = config.checksums or ("sha256" if self.aws else "when_required")
        self._sha256 = checksums == "sha256"
        self._conditional: dict[str, str] = {"IfNoneMatch": "*"}
        self._bucket_seen = False

    def put(self, path: str, content: bytearray, mark: str) -> None:
        """Write an object in one request."""
        self._write("put_object", path, Body=content, **self._new(path, mark), **self._sums(content))

    def begin(self, path: str, mark: str) -> str:
        """Begin a multipart upload."""
        sums = {"ChecksumAlgorithm": "SHA256"} if self._sha256 else {}
        upload: str = self.call("create_multipart_upload", path, **self._new(path, mark), **sums)["UploadId"]
        return upload

    def put_part(self, path: str, upload: str, number: int, content: bytearray) -> str:
        """Send a part; the answer is its ETag and, where used, its SHA-256."""
        sums = self._sums(content)
        try:
            found = self.call("upload_part", path, UploadId=upload, PartNumber=number, Body=content, **sums)
        except ObjectMissing:
            raise _upload_gone(path) from None
        return f"{found['ETag']} {sums.get('ChecksumSHA256', '')}"

    def left(self, path: str, mark: str) -> Left | None:  # noqa: ARG002  a listing does not show marks; parts are compared
        """List the uploads of this very object, and the parts of each."""
        found: Left | None = None
        listed = self.call("list_multipart_uploads", None, Prefix=self._before + path)
        for one in listed.get("Uploads", ()):
            if one["Key"] != self._before + path:
                continue
            parts = self._parts(path, one["UploadId"])
            if parts and (found is None or len(parts) > len(found.parts)):
                found = Left(one["UploadId"], parts)
        return found

    def _parts(self, path: str, upload: str) -> dict[int, object]:
        parts: dict[int, object] = {}
        marker = 0
        while True:
            try:
                answer = self.call("list_parts", path, UploadId=upload, PartNumberMarker=marker)
            except ObjectMissing:
                return {}  # finished or abandoned meanwhile
            parts |= {int(part["PartNumber"]): part for part in answer.get("Parts", ())}
            if not answer.get("IsTruncated"):
                return parts
            marker = answer["NextPartNumberMarker"]

    def kept(self, part: object, upload: str, number: int, content: bytearray) -> str | None:  # noqa: ARG002
        """Compare a part by its SHA-256 where it has one, else by its MD5, which its ETag is unless KMS encrypts it."""
        told = cast(dict[str, Any], part)
        sums = self._sums(content) if self._sha256 else {}
        if int(told["Size"]) != len(content):
            return None
        if sums and told.get("ChecksumSHA256"):
            same = told["ChecksumSHA256"] == sums["ChecksumSHA256"]
        else:
            same = str(told["ETag"]).strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest()
        return f"{told['ETag']} {sums.get('ChecksumSHA256', '')}" if same else None

    def finish(self, path: str, upload: str, parts: list[str], mark: str) -> None:  # noqa: ARG002  it was given at the beginning
        """Complete a multipart upload."""
        done = [_completed(number, part) for number, part in enumerate(parts, start=1)]
        self._write("complete_multipart_upload", path, UploadId=upload, MultipartUpload={"Parts": done})

    def abandon(self, path: str, upload: str) -> None:
        """Abort a multipart upload."""
        with contextlib.suppress(ObjectMissing):
            self.call("abort_multipart_upload", path, UploadId=upload)

    def open(self, path: str, offset: int, length: int | None, version: str | None) -> S3Body:
        """Get a range of an object: always a range, since only its answer tells the whole size, so that one which was cut
        short on its way is noticed even when its length was made to fit."""
        span = {"Range": f"bytes={offset}-{'' if length is None else offset + length - 1}"}
        if version is not None:
            span["IfMatch"] = version
        try:
            found = self.call("get_object", path, **span)
        except _PastTheEnd as error:
            return S3Body(None, error.size, "", self)
        except Taken:
            raise ObjectDamaged(path, "it was replaced while it was read") from None
        told = _RANGE.match(found.get("ContentRange", ""))
        if told is None or int(told[1]) != offset:
            found["Body"].close()
            raise Again(f"{self.bucket.host} answered another range of {path} than was asked for.")
        return S3Body(found["Body"], int(told[2]), found.get("ETag", ""), self)

    def head(self, path: str) -> Head | None:
        """Ask for an object's size and mark."""
        try:
            found = self.call("head_object", path)
        except ObjectMissing:
            self._see_bucket()
            return None
        mark = found.get("Metadata", {}).get(_MARK, "")
        return Head(int(found["ContentLength"]), found["LastModified"].astimezone(UTC), mark)

    def page(self, folder: str, after: str | None, *, deep: bool) -> Page:
        """List up to a thousand objects."""
        more = {"ContinuationToken": after} if after else {}
        if not deep:
            more["Delimiter"] = "/"
        found = self.call("list_objects_v2", None, Prefix=self._before + folder, MaxKeys=_PAGE, **more)
        cut = len(self._before)
        objects = [
            ObjectInfo(
                one["Key"][cut:],
                int(one["Size"]),
                one["LastModified"].astimezone(UTC),
                one.get("StorageClass") in _ASLEEP,
            )
            for one in found.get("Contents", ())
        ]
        folders = [one["Prefix"][cut:] for one in found.get("CommonPrefixes", ())]
        return Page(objects, folders, found.get("NextContinuationToken") if found.get("IsTruncated") else None)

    def delete(self, path: str) -> None:
        """Delete an object; with versioning its content stays as an older version."""
        self.call("delete_object", path)

    def unfinished(self, before: datetime) -> Iterator[Unfinished]:
        """List multipart uploads, and ask each old one for its last part."""
        markers: dict[str, str] = {}
        while True:
            found = self.call("list_multipart_uploads", None, Prefix=self._before, **markers)
            for one in found.get("Uploads", ()):
                path, upload = one["Key"][len(self._before) :], one["UploadId"]
                if one["Initiated"].astimezone(UTC) < before and self._last_part(path, upload) < before:
                    yield Unfinished(path, upload)
            if not found.get("IsTruncated"):
                return
            markers = {"KeyMarker": found["NextKeyMarker"], "UploadIdMarker": found["NextUploadIdMarker"]}

    def retrieve(self, path: str) -> None:
        """Ask for an archived object to be made readable for a week; asking again changes nothing.

        Raises:
            Unavailable: `storage-forbidden`, or it is not archived.
        """
        tier = _TIERS[self.config.retrieval or "standard"]
        request = {"Days": _RETRIEVED_DAYS, "GlacierJobParameters": {"Tier": tier}}
        with contextlib.suppress(_Archived):  # it is on its way already
            self.call("restore_object", path, RestoreRequest=request)

    def leave_window(self, path: str) -> None:
        """Mark a volume or WAL segment as no longer needed by any backup one can restore: the lifecycle may age it.

        Raises:
            ValueError: it is a record, which no rule of the storage may touch.
        """
        tags = {KIND_TAG: check_may_leave(path), WINDOW_TAG: LEFT}
        self.call("put_object_tagging", path, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]})

    def enter_window(self, path: str) -> None:
        """Take that mark off again."""
        tags = [{"Key": KIND_TAG, "Value": check_may_leave(path)}]
        self.call("put_object_tagging", path, Tagging={"TagSet": tags})

    def asleep(self, path: str) -> Sleep:
        """Ask for the object's head: a listing says GLACIER also while a retrieved copy is there."""
        found = self.call("head_object", path)
        if found.get("StorageClass") not in _ASLEEP:
            return "awake"
        restore = str(found.get("Restore", ""))
        return "waking" if 'ongoing-request="true"' in restore else "awake" if restore else "asleep"

    def overwrites(self, path: str) -> bool:
        """Write over a probe, with the condition that nothing is there, and say whether the server did it."""
        try:
            self.put(path, bytearray(b"second"), "second")
        except Taken:
            return False
        return True

    def place(self, patience: Patience) -> Place:
        """Return the bucket."""
        from bot.repository.stores.s3_bucket import S3Bucket

        return S3Bucket(self, patience)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, call: str, path: str | None, *, absent: str = "", **arguments: Any) -> Any:
        """Make one request of the bucket, or of an object in it, and say its errors in our words; None for the error `absent`."""
        if path is not None:
            arguments["Key"] = self._before + path
        if self.config.bucket_owner and call != "create_bucket":
            arguments["ExpectedBucketOwner"] = self.config.bucket_owner
        with self.translated(call, path):
            try:
                found = getattr(self._client, call)(Bucket=self.name, **arguments)
            except boto.ClientError as error:
                self._ask_why(call, error.response, arguments)
                if not absent or error.response["Error"].get("Code") != absent:
                    raise
                found = None
        if found is not None and (strange := stranger(call, found, self.bucket)):
            if "Body" in found:
                found["Body"].close()
            raise strange
        self._bucket_seen = True
        return found

    def _ask_why(self, call: str, response: Any, arguments: dict[str, Any]) -> None:
        """Ask again with a GET where a HEAD was refused: its answer has no body, and so no word of credentials or a clock.

        Raises:
            ClientError: what the GET says.
        """
        if response["ResponseMetadata"].get("HTTPStatusCode") not in {400, 403}:
            return
        if call == "head_bucket":
            self._client.list_objects_v2(Bucket=self.name, MaxKeys=1, **arguments)
        elif call == "head_object":
            self._client.get_object(Bucket=self.name, Range="bytes=0-0", **arguments)["Body"].close()

    @contextlib.contextmanager
    def translated(self, call: str, path: str | None) -> Iterator[None]:
        """Raise one of our errors, or one that this file's callers know, in the place of botocore's."""
        try:
            yield
        except boto.ClientError as error:
            raise self._answered(call, path, error.response) from error
        except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
            raise credentials(
                self.bucket, "there are none" if isinstance(error, boto.NoCredentialsError) else str(error)
            ) from None
        except (boto.CredentialRetrievalError, boto.SSOError, boto.TokenRetrievalError, boto.LoginError) as error:
            raise credentials(self.bucket, str(error)) from error
        except boto.SSLError as error:
            raise Unavailable(
                f"{self.bucket.host} cannot be trusted: {_short(error)}.",
                hint="Is its certificate valid? AWS_CA_BUNDLE names the authorities to trust.",
                code="storage-tls",
            ) from error
        except (
            boto.ConnectionError,
            boto.HTTPClientError,
            boto.IncompleteReadError,
            boto.FlexibleChecksumError,
            OSError,
        ) as error:
            raise self._broken(call, error) from error
        except boto.BotoCoreError as error:
            raise Unavailable(
                f"{call} in the bucket {self.name} cannot be asked: {_short(error)}.", code="storage-settings"
            ) from error

    def _answered(self, call: str, path: str | None, response: Any) -> Exception:
        told, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
        headers = {key.lower(): str(value) for key, value in meta.get("HTTPHeaders", {}).items()}
        answer = Answer(
            call,
            int(meta.get("HTTPStatusCode", 0)),
            str(told.get("Code", "")),
            str(told.get("Message", "")),
            headers,
            told.get("Region"),
        )
        if answer.code in _TAKEN:
            return Taken(path)
        if path is not None and is_missing(answer):
            return ObjectMissing(path)
        if answer.code in {"InvalidRange", "416"}:
            return _PastTheEnd(headers.get("content-range", ""))
        if path is not None and answer.code in {"InvalidObjectState", "RestoreAlreadyInProgress"}:
            return self._archived(call, path)
        return translate(answer, self.bucket, now=datetime.now(UTC))

    def _archived(self, call: str, path: str) -> Exception:
        asked = self.config.retrieval is not None
        if asked and call == "get_object":
            self.retrieve(path)
        return _Archived(
            f"The object {path} is in an archive (Glacier) and has to be retrieved before it can be read."
            + (f" Its retrieval ({self.config.retrieval}) was asked for." if asked else ""),
            hint="Try again in some hours."
            if asked
            else f'Set {self.bucket.where}.retrieval = "standard" (or bulk, expedited) and try again: it costs money.',
            code="storage-archived",
        )

    def _broken(self, call: str, error: Exception) -> Again:
        never = isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError)
        return Again(
            f"{self.bucket.host} {'cannot be reached' if never else f'broke off at {call}'}: {_short(error)}.",
            hint=f"Is {self.bucket.where}.endpoint_url right, and the network or the proxy up?"
            if self.config.endpoint_url
            else f"Is {self.bucket.where}.region right, and the network or the proxy up?",
            code="storage-unreachable" if never else "storage-failed",
            quick=never,
        )

    def _write(self, call: str, path: str, **arguments: Any) -> None:
        """Write only if nothing is there; a server that does not know the condition is asked without it from now on."""
        try:
            self.call(call, path, **arguments, **self._conditional)
        except Unavailable as error:
            if self.aws or not self._conditional or error.reason_code != "storage-unsupported":
                raise
            self._conditional = {}
            self.call(call, path, **arguments)

    def _new(self, path: str, mark: str) -> dict[str, Any]:
        """Return what a new object is given: class, encryption, lock, tags, by its kind."""
        kind, config = kind_of(path), self.config
        found: dict[str, Any] = {"Metadata": {_MARK: mark}}
        if config.storage_class and kind in {"volume", "wal"}:
            found["StorageClass"] = config.storage_class
        if config.sse:
            found["ServerSideEncryption"] = config.sse
        if config.sse_kms_key_id:
            found["SSEKMSKeyId"] = config.sse_kms_key_id
        if config.object_lock and config.retention and kind not in {"partial", "probe"}:
            found["ObjectLockMode"] = config.object_lock.upper()
            found["ObjectLockRetainUntilDate"] = datetime.now(UTC) + config.retention
        if self.tags and kind in {"volume", "wal", "partial"}:
            found["Tagging"] = f"{KIND_TAG}={kind}"
        return found

    def _sums(self, content: bytearray) -> dict[str, str]:
        """Return the checksum that goes with content; without one, the signature covers it."""
        if self._sha256:
            return {"ChecksumSHA256": base64.b64encode(hashlib.sha256(content).digest()).decode()}
        if self.config.object_lock:
            digest = hashlib.md5(content, usedforsecurity=False).digest()  # what servers ask for with a lock
            return {"ContentMD5": base64.b64encode(digest).decode()}
        return {}

    def _last_part(self, path: str, upload: str) -> datetime:
        try:
            parts = self.call("list_parts", path, UploadId=upload).get("Parts", ())
        except ObjectMissing:
            return datetime.max.replace(tzinfo=UTC)  # finished or abandoned meanwhile
        return max((one["LastModified"].astimezone(UTC) for one in parts), default=datetime.min.replace(tzinfo=UTC))

    def _see_bucket(self) -> None:
        """Make sure that it is the object which is missing: a HEAD's 404 does not say which."""
        if not self._bucket_seen:
            try:
                self.call("head_bucket", None)
            except PitstopError as error:
                if error.reason_code != "storage-forbidden":
                    raise
                self._bucket_seen = True


class S3Body:
    """The body of one GET; see `Body`."""

    def __init__(self, stream: Any, size: int, version: str, cloud: S3) -> None:
        self.size, self.version = size, version
        self._stream, self._cloud = stream, cloud

    def read(self, size: int) -> bytes:
        """Return the next bytes; a body that ends before its length, or breaks off, raises Again."""
        if self._stream is None:
            return b""
        with self._cloud.translated("get_object", None):
            block: bytes = self._stream.read(size)
        return block

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _Archived(Unavailable):
    """The object has to be retrieved first."""


class _PastTheEnd(Exception):
    """A range begins past the object's end."""

    def __init__(self, content_range: str) -> None:
        super().__init__(content_range)
        size = content_range.rpartition("/")[2]
        self.size = int(size) if size.isdecimal() else 0


def _client(config: RepositoryConfig, where: str, read_timeout_s: float) -> Any:
    """Return botocore's client, which makes each request once; trying again is our own business, part by part."""
    style = config.addressing or ("path" if config.endpoint_url else "auto")
    settings = BotoConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=10,
        read_timeout=read_timeout_s,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        user_agent_extra=f"pitstop/{__version__}",
        # Checksums go out where we ask for them; servers that are not AWS refuse the SDK's own (boto3 >= 1.36).
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": style},
    )
    try:
        with _making:
            opened = session()
            # A foreign server has no regions, but a signature needs one.
            region = (
                config.region or opened.get_config_variable("region") or ("us-east-1" if config.endpoint_url else None)
            )
            return opened.create_client("s3", region_name=region, endpoint_url=config.endpoint_url, config=settings)
    except (boto.BotoCoreError, ValueError) as error:
        raise Usage(
            f"S3 cannot be used with these settings: {_short(error)}.",
            hint=f"Are {where}.region and endpoint_url right, and the files in ~/.aws and AWS_PROFILE?",
            code="storage-settings",
        ) from error


_making = threading.Lock()


def _completed(number: int, part: str) -> dict[str, Any]:
    etag, _, sha256 = part.partition(" ")
    return {"PartNumber": number, "ETag": etag, **({"ChecksumSHA256": sha256} if sha256 else {})}


def _upload_gone(path: str) -> Unavailable:
    return Unavailable(
        f"The upload of {path} vanished before it was finished.",
        hint="Does a lifecycle rule or another program abort uploads in this bucket?",
        code="storage-upload-lost",
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300]
