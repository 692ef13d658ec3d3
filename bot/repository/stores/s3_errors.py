"""What S3's errors mean to the person who has to act: pure, from an answer's code to one of our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from bot.errors import PitstopError, Unavailable
from bot.repository.stores.patience import Again

_PASSING = {
    "SlowDown", "SlowDownRead", "SlowDownWrite", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling",
    "ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "RequestThrottled", "OperationAborted",
    "ConditionalRequestConflict", "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody",
    "KMS.ThrottlingException", "XMinioServerNotInitialized",
}  # fmt: skip
_CREDENTIALS = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidSecurity",
    "NotSignedUp", "AuthorizationHeaderMalformed", "UnauthorizedAccess",
}  # fmt: skip
_REGION = {
    "PermanentRedirect",
    "IllegalLocationConstraintException",
    "AuthorizationHeaderMalformed",
    "301",
    "307",
    "400",
}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "QuotaExceededException", "507"}
_UNKNOWN = {"NotImplemented", "MethodNotAllowed", "501", "405", "UnsupportedOperation"}
_PERFORM = re.compile(r"perform:? ([a-z0-9]+:[A-Za-z]+)")

NEEDS = {
    "put_object": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "list_parts": "s3:ListMultipartUploadParts",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_objects_v2": "s3:ListBucket",
    "head_bucket": "s3:ListBucket",
    "head_object": "s3:GetObject (and s3:ListBucket)",
    "get_object": "s3:GetObject",
    "delete_object": "s3:DeleteObject",
    "restore_object": "s3:RestoreObject",
    "put_object_tagging": "s3:PutObjectTagging",
    "create_bucket": "s3:CreateBucket",
    "get_bucket_versioning": "s3:GetBucketVersioning",
    "put_bucket_versioning": "s3:PutBucketVersioning",
    "get_public_access_block": "s3:GetBucketPublicAccessBlock",
    "put_public_access_block": "s3:PutBucketPublicAccessBlock",
    "get_bucket_policy": "s3:GetBucketPolicy",
    "put_bucket_policy": "s3:PutBucketPolicy",
    "get_bucket_lifecycle_configuration": "s3:GetLifecycleConfiguration",
    "put_bucket_lifecycle_configuration": "s3:PutLifecycleConfiguration",
    "get_object_lock_configuration": "s3:GetBucketObjectLockConfiguration",
    "put_bucket_encryption": "s3:PutEncryptionConfiguration",
    "get_bucket_encryption": "s3:GetEncryptionConfiguration",
}
"""The permission each call needs, as IAM names it."""

_TELLS = {
    "put_object": "ETag",
    "upload_part": "ETag",
    "complete_multipart_upload": "ETag",
    "create_multipart_upload": "UploadId",
    "list_objects_v2": "IsTruncated",
    "list_multipart_uploads": "IsTruncated",
    "list_parts": "IsTruncated",
    "get_object": "ContentRange",
    "head_object": "LastModified",
}
"""What every server that speaks S3 says when it did what it was asked."""
_NO_PAGES = {
    "head_object", "get_object", "delete_object", "get_bucket_versioning", "get_bucket_lifecycle_configuration",
    "get_public_access_block", "get_bucket_policy", "get_bucket_encryption", "get_object_lock_configuration",
}  # fmt: skip
"""Calls that S3 never answers with a web page: objects are stored without a type, a deletion has no content, settings are XML."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the errors have to name: `where` is the configuration's key of the repository, `repositories.offsite`."""

    where: str
    name: str
    host: str
    region: str | None = None
    owner: str | None = None
    kms_key: str | None = None
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An error as S3 answered it to `call`; `headers` in lower case."""

    call: str
    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None


def is_missing(answer: Answer) -> bool:
    """Say whether an object, or an upload in parts, is not there."""
    return answer.code in {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}


def is_unknown(answer: Answer) -> bool:
    """Say whether the server does not know what was asked."""
    return answer.code in _UNKNOWN or answer.status in {405, 501}


def stranger(call: str, found: Mapping[str, Any], bucket: Bucket) -> Again | None:
    """Return what is wrong with an answer that says all is well and is not S3's: a console, a log-in page, a proxy; else None."""
    meta = found.get("ResponseMetadata", {})
    told = str(meta.get("HTTPHeaders", {}).get("content-type", ""))
    page = call in _NO_PAGES and meta.get("HTTPStatusCode") == 200 and told.startswith("text/html")
    if not page and _TELLS.get(call, "ResponseMetadata") in found:
        return None
    return Again(
        f"What answers at {bucket.host} does not speak S3: its answer to {call} is {told or 'of no type'}.",
        hint=f"Is {bucket.where}.endpoint_url right (a console has another port than S3), or does a proxy or a log-in page answer?",
        code="storage-stranger",
        quick=True,
    )


def translate(answer: Answer, bucket: Bucket, *, now: datetime) -> PitstopError:
    """Return the error to raise: Again where another try may help, else Unavailable with the setting to look at."""
    code, where = answer.code, bucket.where
    if code == "NoSuchBucket" or (answer.call == "head_bucket" and answer.status == 404):
        return Unavailable(
            f"There is no bucket {bucket.name} at {bucket.host}.",
            hint=f"Is {where}.url right? `pitstop storage setup` makes the bucket.",
            code="storage-no-bucket",
        )
    if region := _other_region(answer, bucket):
        return Unavailable(
            f"The bucket {bucket.name} is in the region {region}, not {bucket.region or 'the one asked'}.",
            hint=f'Set {where}.region = "{region}".',
            code="storage-wrong-region",
        )
    if code in {"RequestTimeTooSkewed", "RequestExpired"}:
        return _skewed(answer, bucket, now)
    if answer.status == 407:
        return Unavailable(
            f"A proxy before {bucket.host} wants to know who asks (407).",
            hint="Put its user and password into HTTPS_PROXY, or name the host in NO_PROXY.",
            code="storage-proxy",
        )
    if code in _CREDENTIALS:
        return credentials(bucket, f"{bucket.host} does not accept them ({code}: {answer.message.rstrip('.')})")
    if code.startswith("KMS.") and code not in _PASSING:
        return _kms(answer, bucket)
    if code in _FULL or answer.status == 507:
        return Unavailable(
            f"{bucket.host} has no room left for the bucket {bucket.name} ({code}).",
            hint="Raise its quota, or expire backups.",
            code="storage-full",
        )
    if code in _PASSING or (answer.status >= 500 and not is_unknown(answer)) or answer.status == 429:
        return Again(
            f"{bucket.host} failed at {answer.call} ({answer.status} {code}).",
            hint="Does its status page say something? Pitstop tries again by itself.",
            after_s=_retry_after(answer),
        )
    if code in {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden"} or answer.status == 403:
        return _forbidden(answer, bucket)
    return Unavailable(
        f"{bucket.host} refused {answer.call} in the bucket {bucket.name} ({answer.status} {code}: {answer.message}).",
        hint=f"Are the settings of {where} what this server understands?",
        code="storage-unsupported" if is_unknown(answer) else "storage-refused",
    )


def credentials(bucket: Bucket, why: str) -> Unavailable:
    """Return the error of missing or refused credentials."""
    return Unavailable(
        f"The credentials for the bucket {bucket.name} cannot be used: {why}.",
        hint="Pitstop takes them where every AWS tool does: AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws, the instance's role. "
        f"Does `aws s3 ls {bucket.name}` work for this user?",
        code="storage-credentials",
    )


def _other_region(answer: Answer, bucket: Bucket) -> str | None:
    told = answer.headers.get("x-amz-bucket-region") or answer.region
    return told if answer.code in _REGION and told != bucket.region else None


def _skewed(answer: Answer, bucket: Bucket, now: datetime) -> Unavailable:
    off = ""
    try:
        seconds = (now - parsedate_to_datetime(answer.headers["date"]).astimezone(UTC)).total_seconds()
        off = f" by {abs(seconds) / 60:.0f} minutes ({'ahead' if seconds > 0 else 'behind'})"
    except (KeyError, ValueError):
        pass
    return Unavailable(
        f"This machine's clock differs from that of {bucket.host}{off}; requests are refused.",
        hint="Is time synchronisation running? `timedatectl` shows it.",
        code="storage-clock",
    )


def _kms(answer: Answer, bucket: Bucket) -> Unavailable:
    return Unavailable(
        f"The key that the bucket {bucket.name} is encrypted with cannot be used ({answer.code}: {answer.message}).",
        hint=f"Is {bucket.where}.sse_kms_key_id right, the key enabled, and in the bucket's region?",
        code="storage-kms",
    )


def _forbidden(answer: Answer, bucket: Bucket) -> Unavailable:
    if bucket.locked and answer.call == "delete_object" and "object lock" in answer.message.lower():
        return Unavailable(
            f"{answer.message.rstrip('.')}.",
            hint="It can be deleted once its retention has ended.",
            code="storage-locked",
        )
    told = _PERFORM.search(answer.message)
    missing = told[1] if told else NEEDS.get(answer.call, answer.call)
    if told is None and answer.call in {"put_object", "create_multipart_upload"} and bucket.locked:
        missing += " (with object_lock also s3:PutObjectRetention)"
    owner = (
        f" And does the bucket belong to account {bucket.owner} ({bucket.where}.bucket_owner)?" if bucket.owner else ""
    )
    return Unavailable(
        f"The bucket {bucket.name} does not allow {missing} to these credentials ({answer.code}).",
        hint=f"Grant it; docs/storage.md has the whole policy. Or is the bucket somebody else's ({bucket.where}.url)?{owner}",
        code="storage-forbidden",
    )


def _retry_after(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), 60.0) if text.isdecimal() else 0.0
