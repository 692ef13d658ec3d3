"""What Azure's errors mean to the person who has to act: pure, from an answer's code to one of our errors."""

from __future__ import annotations

from dataclasses import dataclass

from bot.errors import PitstopError, Unavailable
from bot.repository.stores.patience import Again

_PASSING = {
    "ServerBusy", "InternalError", "OperationTimedOut", "ContainerBeingDeleted", "Md5Mismatch", "Crc64Mismatch",
}  # fmt: skip
_CREDENTIALS = {"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"}
_RIGHTS = {
    "AuthorizationFailure", "AuthorizationPermissionMismatch", "AuthorizationProtocolMismatch", "AuthorizationServiceMismatch",
    "AuthorizationSourceIPMismatch", "InsufficientAccountPermissions", "PublicAccessNotPermitted",
}  # fmt: skip
_LOCKED = {"BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold"}

NEEDS = {
    "put": "blobs/write",
    "stage": "blobs/write",
    "commit": "blobs/write",
    "read": "blobs/read",
    "head": "blobs/read",
    "list": "blobs/read",
    "list blocks": "blobs/read",
    "delete": "blobs/delete",
    "tag": "blobs/tags/write",
    "retrieve": "blobs/write",
    "create container": "containers/write",
    "read container": "containers/read",
}
"""The data action each call needs, below Microsoft.Storage/storageAccounts/blobServices/containers/."""


@dataclass(frozen=True, slots=True)
class Container:
    """What the errors have to name: `where` is the configuration's key of the repository, `repositories.offsite`."""

    where: str
    account: str
    name: str
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An error as Azure answered it to `call`."""

    call: str
    status: int
    code: str
    message: str
    retry_after_s: float = 0.0


def translate(answer: Answer, container: Container) -> PitstopError:
    """Return the error to raise: Again where another try may help, else Unavailable with the setting to look at."""
    code, where = answer.code, container.where
    if code == "ContainerNotFound":
        return Unavailable(
            f"There is no container {container.name} in the storage account {container.account}.",
            hint=f"Is {where}.url right? `pitstop storage setup` makes the container.",
            code="storage-no-bucket",
        )
    if answer.status == 407:
        return Unavailable(
            f"A proxy before {container.host} wants to know who asks (407).",
            hint="Put its user and password into HTTPS_PROXY, or name the host in NO_PROXY.",
            code="storage-proxy",
        )
    if code in _LOCKED:
        return Unavailable(
            f"The container {container.name} keeps the object from being changed ({code}).",
            hint="It can be deleted once its retention has ended.",
            code="storage-locked",
        )
    if code in {"AccountIsDisabled", "ContainerDisabled"}:
        return Unavailable(
            f"The storage account {container.account} is disabled ({code}).", hint="Enable it.", code="storage-refused"
        )
    if "date header" in answer.message.lower() or "clock" in answer.message.lower():
        return Unavailable(
            f"This machine's clock differs from that of {container.host}; requests are refused.",
            hint="Is time synchronisation running? `timedatectl` shows it.",
            code="storage-clock",
        )
    if code in _PASSING or answer.status >= 500 or answer.status in {408, 429}:
        return Again(
            f"{container.host} failed at {answer.call} ({answer.status} {code}).",
            hint="Does its status page say something? Pitstop tries again by itself.",
            after_s=answer.retry_after_s,
        )
    if code in _CREDENTIALS or answer.status == 401:
        return credentials(container, f"{container.host} does not accept them ({code or answer.status})")
    if code in _RIGHTS or answer.status == 403:
        need = NEEDS.get(answer.call, answer.call)
        return Unavailable(
            f"The container {container.name} does not allow {need} to these credentials ({code or answer.status}).",
            hint="Grant the role Storage Blob Data Contributor on it (docs/storage.md). Or is the account somebody else's "
            f"({where}.url), or closed to this network?",
            code="storage-forbidden",
        )
    return Unavailable(
        f"{container.host} refused {answer.call} in the container {container.name} "
        f"({answer.status} {code}: {answer.message[:200]}).",
        hint=f"Are the settings of {where} what this account supports?",
        code="storage-refused",
    )


def stranger(container: Container, what: str) -> Again:
    """Return the error of an answer that says all is well and is not Azure's; `what` is its type."""
    return Again(
        f"What answers at {container.host} does not speak Azure's protocol: its answer is {what}.",
        hint=f"Is {container.where}.url (or endpoint_url) right, or does a proxy or a log-in page answer?",
        code="storage-stranger",
        quick=True,
    )


def credentials(container: Container, why: str) -> Unavailable:
    """Return the error of missing or refused credentials."""
    return Unavailable(
        f"The credentials for the storage account {container.account} cannot be used: {why}.",
        hint="Pitstop takes them where Azure's tools do: AZURE_CLIENT_ID …, a managed identity, `az login`, "
        "or AZURE_STORAGE_KEY and AZURE_STORAGE_SAS_TOKEN.",
        code="storage-credentials",
    )
