"""Azure Blob Storage through its SDK; the only file that knows the SDK's words for storage. Needs the extra `azure`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core import exceptions as sdk
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient, ImmutabilityPolicy, StandardBlobTier

from bot.errors import Unavailable, Usage
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.layout import kind_of
from bot.repository.stores import ObjectInfo
from bot.repository.stores.azure_errors import Answer, Container, credentials, stranger, translate
from bot.repository.stores.cloud import AGAIN, CloudStore, Head, Left, Page, Sleep, Taken, Unfinished
from bot.repository.stores.lifecycle import KIND_TAG, LEFT, WINDOW_TAG, check_may_leave
from bot.repository.stores.patience import Again, Patience
from bot.repository.stores.place import Place

if TYPE_CHECKING:
    from bot.config import RepositoryConfig

_MARK = "pitstop_put"
_PAGE = 5000
_WINDOW_BYTES = 4 * 1024 * 1024
_SINGLE_BYTES = 64 * 1024 * 1024
_PRIORITIES = {"bulk": "Standard", "standard": "Standard", "expedited": "High"}
_LOCKS = {"governance": "Unlocked", "compliance": "Locked"}
_AGAIN_CHARS = 15
_MISSING = {"BlobNotFound", "ResourceNotFound"}


def open_azure(name: str, config: RepositoryConfig) -> CloudStore:
    """Open the store of repository `name`; no request is made.

    Raises:
        Usage: `storage-settings`, the SDK cannot work with the settings.
    """
    patience = Patience(for_s=config.retry_for.total_seconds()) if config.retry_for else Patience()
    return CloudStore(Azure(name, config), patience)


class Azure:
    """The calls of `Cloud` for one container and prefix. Thread-safe.

    Blocks that were staged and never committed are invisible, and Azure drops them a week after the last of them; there is
    no way to drop them earlier that readers would not see.
    """

    look_first = False
    consistent = True

    def __init__(self, name: str, config: RepositoryConfig, *, read_timeout_s: float = 60.0) -> None:
        account, container, self.prefix = config.place
        self.url = f"azure://{account}/{container}/{self.prefix}".rstrip("/")
        self.config = config
        self.tags = True
        self._before = f"{self.prefix}/" if self.prefix else ""
        address = config.endpoint_url or f"https://{account}.blob.core.windows.net"
        self.container = Container(f"repositories.{name}", account, container, urlsplit(address).netloc)
        try:
            self._tier = StandardBlobTier(config.storage_class.capitalize()) if config.storage_class else None
            self._client = ContainerClient(
                address,
                container,
                credential=_credential(account),
                # Each request is made once; trying again is our own business, part by part.
                retry_total=0,
                connection_timeout=10,
                read_timeout=read_timeout_s,
                max_single_put_size=_SINGLE_BYTES,
                max_single_get_size=_WINDOW_BYTES,
                max_chunk_get_size=_WINDOW_BYTES,
                raw_response_hook=self._require_azure,
            )
        except ValueError as error:
            raise Usage(
                f"Azure cannot be used with these settings: {error}.",
                hint=f"Are {self.container.where}.endpoint_url, storage_class and AZURE_STORAGE_KEY right, where they are set?",
                code="storage-settings",
            ) from None

    def put(self, path: str, content: bytearray, mark: str) -> None:
        """Write an object in one request; where blocks of a dead writer lie in its place, in two."""
        try:
            with self.translated("put", path):
                self._blob(path).upload_blob(
                    bytes(content), length=len(content), overwrite=False, validate_content=True, **self._new(path, mark)
                )
        except Taken:
            if self.head(path) is not None:
                raise
            self.finish(path, mark, [self.put_part(path, mark, 1, content)] if content else [], mark)

    def begin(self, path: str, mark: str) -> str:  # noqa: ARG002  blocks need no beginning
        """Return a name for the blocks of this put: those of another writer of the same path never mix with them."""
        return mark[:_AGAIN_CHARS] if mark.startswith(AGAIN) else mark

    def put_part(self, path: str, upload: str, number: int, content: bytearray) -> str:
        """Stage a block."""
        block = _block(upload, number, content)
        scope = {"encryption_scope": self.config.encryption_scope} if self.config.encryption_scope else {}
        with self.translated("stage", path):
            self._blob(path).stage_block(block, bytes(content), length=len(content), validate_content=True, **scope)
        return block

    def left(self, path: str, mark: str) -> Left | None:
        """List the blocks that were staged and never committed, and take those of this put."""
        try:
            with self.translated("list blocks", path):
                _, staged = self._blob(path).get_block_list("uncommitted")
        except ObjectMissing:
            return None
        # An answer may have the names as they were sent, or as they were before base64.
        names = {_unquoted(str(block.id)): int(block.size) for block in staged}
        upload = mark[:_AGAIN_CHARS]
        parts = {int(n[len(upload) + 1 :][:6]): (n, size) for n, size in names.items() if n.startswith(f"{upload}-")}
        return Left(upload, cast(dict[int, object], parts)) if parts else None

    def kept(self, part: object, upload: str, number: int, content: bytearray) -> str | None:
        """Compare a block by its name, which has the content's hash."""
        block = _block(upload, number, content)
        return block if part == (_unquoted(block), len(content)) else None

    def finish(self, path: str, upload: str, parts: list[str], mark: str) -> None:  # noqa: ARG002
        """Commit the blocks."""
        with self.translated("commit", path):
            self._blob(path).commit_block_list(
                [BlobBlock(block_id=part) for part in parts],
                match_condition=MatchConditions.IfMissing,
                **self._new(path, mark),
            )

    def abandon(self, path: str, upload: str) -> None:
        """Leave staged blocks to Azure, which drops them after a week."""

    def open(self, path: str, offset: int, length: int | None, version: str | None) -> AzureBody:
        """Read the first window of an object or range."""
        return AzureBody(self, path, offset, length, version)

    def window(self, path: str, offset: int, length: int, version: str | None) -> tuple[bytes, int, str]:
        """Return at most `length` bytes from `offset`, the object's size, and its ETag."""
        same = {"etag": version, "match_condition": MatchConditions.IfNotModified} if version else {}
        try:
            with self.translated("read", path):
                found = self._blob(path).download_blob(offset, length, **same)
                content: bytes = found.readall()
                # The SDK overwrites `size` with the range's; the range itself ends with the whole object's.
                size = int(str(found.properties.content_range).rpartition("/")[2])
        except _PastTheEnd:
            head = self.head(path)
            return b"", head.size if head else 0, ""
        if len(content) != max(0, min(length, size - offset)):
            raise Again(f"The answer to reading {path} ended early.", code="storage-truncated")
        return content, size, str(found.properties.etag)

    def head(self, path: str) -> Head | None:
        """Ask for an object's size and mark."""
        try:
            with self.translated("head", path):
                found = self._blob(path).get_blob_properties()
        except ObjectMissing:
            return None
        return Head(int(found.size), found.last_modified.astimezone(UTC), (found.metadata or {}).get(_MARK, ""))

    def page(self, folder: str, after: str | None, *, deep: bool) -> Page:
        """List up to five thousand objects."""
        start = self._before + folder
        with self.translated("list", None):
            if deep:
                pages = self._client.list_blobs(name_starts_with=start, results_per_page=_PAGE).by_page(after)
            else:
                found = self._client.walk_blobs(name_starts_with=start, delimiter="/", results_per_page=_PAGE)
                pages = found.by_page(after)
            page = list(next(pages, ()))
        cut = len(self._before)
        objects = [
            ObjectInfo(one.name[cut:], int(one.size), one.last_modified.astimezone(UTC), one.blob_tier == "Archive")
            for one in page
            if not one.name.endswith("/")
        ]
        folders = [one.name[cut:] for one in page if one.name.endswith("/")]
        return Page(objects, folders, pages.continuation_token or None)

    def delete(self, path: str) -> None:
        """Delete an object."""
        with contextlib.suppress(ObjectMissing), self.translated("delete", path):
            self._blob(path).delete_blob(delete_snapshots="include")

    def unfinished(self, before: datetime) -> Iterator[Unfinished]:  # noqa: ARG002
        """Yield nothing: Azure drops what was staged and never committed by itself."""
        return iter(())

    def retrieve(self, path: str) -> None:
        """Ask for an archived object to be made readable; asking again changes nothing."""
        priority: Any = _PRIORITIES[self.config.retrieval or "standard"]
        with self.translated("retrieve", path):
            self._blob(path).set_standard_blob_tier("Cool", rehydrate_priority=priority)

    def leave_window(self, path: str) -> None:
        """Mark a volume or WAL segment as no longer needed by any backup one can restore: the lifecycle may age it.

        Raises:
            ValueError: it is a record, which no rule of the storage may touch.
        """
        tags = {KIND_TAG: check_may_leave(path), WINDOW_TAG: LEFT}
        with self.translated("tag", path):
            self._blob(path).set_blob_tags(dict(tags))

    def enter_window(self, path: str) -> None:
        """Take that mark off again."""
        with self.translated("tag", path):
            self._blob(path).set_blob_tags({KIND_TAG: check_may_leave(path)})

    def asleep(self, path: str) -> Sleep:
        """Ask for the blob's tier, and whether it is being rehydrated."""
        with self.translated("head", path):
            found = self._blob(path).get_blob_properties()
        if str(found.blob_tier) != "Archive":
            return "awake"
        return "waking" if found.archive_status else "asleep"

    def overwrites(self, path: str) -> bool:  # noqa: ARG002
        """Say no: Azure knows conditions."""
        return False

    def place(self, patience: Patience) -> Place:
        """Return the container."""
        from bot.repository.stores.azure_container import AzureContainer

        return AzureContainer(self, patience)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create_container(self) -> bool:
        """Make the container, closed to the public; False when it is there."""
        try:
            with self.translated("create container", None):
                self._client.create_container()
        except Taken:
            return False
        return True

    def public_access(self) -> str | None:
        """Return what of the container anybody may read (`container`, `blob`), or None."""
        with self.translated("read container", None):
            found = self._client.get_container_properties().public_access
        return None if found is None else str(found)

    @contextlib.contextmanager
    def translated(self, call: str, path: str | None) -> Iterator[None]:
        """Raise one of our errors, or one that this file's callers know, in the place of the SDK's."""
        try:
            yield
        except sdk.ClientAuthenticationError as error:
            if _code(error) and error.status_code:
                raise self._answered(call, path, error) from error
            raise credentials(self.container, _short(error)) from error
        except (sdk.IncompleteReadError, sdk.DecodeError) as error:
            raise self._broken(call, error) from error
        except sdk.HttpResponseError as error:
            raise (self._answered(call, path, error) if error.status_code else self._broken(call, error)) from error
        except (sdk.ServiceRequestError, sdk.ServiceResponseError, OSError) as error:
            raise self._broken(call, error) from error
        except sdk.AzureError as error:
            raise Unavailable(
                f"{call} cannot be asked of {self.container.host}: {_short(error)}.", code="storage-settings"
            ) from error

    def _require_azure(self, response: Any) -> None:
        """Look at an answer that says all is well, before the SDK reads what is not there.

        Raises:
            Again: it is not Azure's, which numbers each request: a log-in page, or a proxy. Or it is a listing without a body.
        """
        found = response.http_response
        if found.status_code < 400 and "x-ms-request-id" not in found.headers:
            raise stranger(self.container, str(found.headers.get("content-type", "of no type")))
        if "comp=list" in response.http_request.url and found.headers.get("content-length") == "0":
            raise Again(f"The answer of {self.container.host} to a listing is empty.", code="storage-truncated")

    def _answered(self, call: str, path: str | None, error: sdk.HttpResponseError) -> Exception:
        status, code = int(error.status_code or 0), _code(error)
        if code in {"BlobAlreadyExists", "ContainerAlreadyExists"}:
            return Taken(path)
        if path is not None and (code in _MISSING or (status == 404 and code in {"", "ResourceNotFound"})):
            return ObjectMissing(path)
        if status == 416:
            return _PastTheEnd(path)
        if status == 412 and path is not None:
            return ObjectDamaged(path, "it was replaced while it was read") if call == "read" else Taken(path)
        if path is not None and code == "InvalidBlockList":
            return ObjectMissing(path)
        if path is not None and code in {"BlobArchived", "BlobBeingRehydrated"}:
            return self._archived(call, code, path)
        after = error.response.headers.get("retry-after", "") if error.response is not None else ""
        answer = Answer(call, status, code, _told(error), float(after) if after.isdecimal() else 0.0)
        return translate(answer, self.container)

    def _archived(self, call: str, code: str, path: str) -> Unavailable:
        asked = code == "BlobBeingRehydrated" or self.config.retrieval is not None
        if call == "read" and code == "BlobArchived" and self.config.retrieval is not None:
            self.retrieve(path)
        return Unavailable(
            f"The object {path} is in Azure's archive tier and has to be retrieved before it can be read."
            + (" Its retrieval was asked for." if asked else ""),
            hint="Try again in some hours."
            if asked
            else f'Set {self.container.where}.retrieval = "standard" (or expedited) and try again: it costs money.',
            code="storage-archived",
        )

    def _broken(self, call: str, error: Exception) -> Again:
        never = isinstance(error, sdk.ServiceRequestError)
        return Again(
            f"{self.container.host} {'cannot be reached' if never else f'broke off at {call}'}: {_short(error)}.",
            hint=f"Is {self.container.where}.url (or endpoint_url) right, and the network or the proxy up?",
            code="storage-unreachable" if never else "storage-failed",
            quick=never,
        )

    def _blob(self, path: str) -> BlobClient:
        return self._client.get_blob_client(self._before + path)

    def _new(self, path: str, mark: str) -> dict[str, Any]:
        """Return what a new object is given: tier, encryption, lock, by its kind."""
        kind, config = kind_of(path), self.config
        found: dict[str, Any] = {"metadata": {_MARK: mark}}
        if self._tier and kind in {"volume", "wal"}:
            found["standard_blob_tier"] = self._tier
        if config.encryption_scope:
            found["encryption_scope"] = config.encryption_scope
        if config.object_lock and config.retention and kind not in {"partial", "probe"}:
            until = datetime.now(UTC) + config.retention
            found["immutability_policy"] = ImmutabilityPolicy(expiry_time=until, policy_mode=_LOCKS[config.object_lock])
        return found


class AzureBody:
    """An object read window by window, each one request; see `Body`."""

    def __init__(self, cloud: Azure, path: str, offset: int, length: int | None, version: str | None) -> None:
        self._cloud, self._path, self._offset = cloud, path, offset
        first = _WINDOW_BYTES if length is None else min(length, _WINDOW_BYTES)
        self._window, self.size, self.version = cloud.window(path, offset, first, version)
        self._given = 0
        self._end = self.size if length is None else min(self.size, offset + length)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`."""
        if self._given == len(self._window):
            self._offset += len(self._window)
            want = min(_WINDOW_BYTES, self._end - self._offset)
            if want <= 0:
                return b""
            self._window, self._given = self._cloud.window(self._path, self._offset, want, self.version)[0], 0
        block = self._window[self._given : self._given + size]
        self._given += len(block)
        return block

    def close(self) -> None:
        """Forget the window."""
        self._window = b""
        self._given = 0


class _PastTheEnd(Exception):
    """A range begins past the object's end."""


def _credential(account: str) -> Any:
    """Return how to log in: an account key or a SAS from the environment, as Azure's own tools take them, or its whole chain."""
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        return {"account_name": account, "account_key": key}
    return os.environ.get("AZURE_STORAGE_SAS_TOKEN") or DefaultAzureCredential()


def _code(error: Exception) -> str:
    """Return Azure's word for an error; the SDK gives some as members of an enumeration."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def _short(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")[:300]


def _told(error: Exception) -> str:
    """Return what Azure says: its first line, and why it did not authenticate, which comes lines later (a clock that is off)."""
    lines = [line.strip() for line in str(error).splitlines()]
    detail = [line.partition(":")[2] for line in lines if line.lower().startswith("authenticationerrordetail:")]
    return ": ".join([_short(error), *detail])[:500]


def _block(upload: str, number: int, content: bytearray) -> str:
    """Return a block's name; of puts that may be resumed it has the content's hash, since Azure tells nothing else of a block.

    All names of one blob's blocks must have the same length, also of those that were left by others.
    """
    name = f"{upload}-{number:06d}"
    if upload.startswith(AGAIN):
        name += f"-{hashlib.blake2b(content, digest_size=8).hexdigest()}"
    return base64.b64encode(name.encode()).decode()


def _unquoted(name: str) -> str:
    """Return a block's name before base64, whichever way it is told."""
    if name.startswith(AGAIN):
        return name
    try:
        return base64.b64decode(name, validate=True).decode()
    except ValueError:
        return name
