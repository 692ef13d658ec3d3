"""AWS KMS: a key that never leaves the service wraps the data keys; each use of it stands in CloudTrail."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config as SdkConfig
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from bot.errors import PitstopError, Usage
from bot.repository.keys.form import WrappedKey, bound_to
from bot.repository.keys.services import PATIENCE
from bot.repository.stores.patience import Again, Patience

_ARN = re.compile(r"^arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key/[A-Za-z0-9-]+\Z")
_PERFORM = re.compile(r"perform:? (kms:[A-Za-z]+)")
_PASSING = {
    "ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException", "LimitExceededException",
    "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException", "ServiceUnavailable", "InternalFailure",
    "InternalError", "RequestTimeout", "ServiceUnavailableException",
}  # fmt: skip
_ALTERED = {"InvalidCiphertextException", "IncorrectKeyException"}
_CREDENTIALS = {
    "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
    "ExpiredTokenException", "ExpiredToken", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
    "IncompleteSignature", "RequestExpired",
}  # fmt: skip
_ANSWERS = {"encrypt": "CiphertextBlob", "decrypt": "Plaintext"}
_ACTIONS = {"encrypt": "kms:Encrypt", "decrypt": "kms:Decrypt"}


class AwsKms:
    """Wraps data keys with a KMS key, named by its ARN, whose region it is asked in. Another endpoint: AWS_ENDPOINT_URL_KMS.

    Credentials are where every AWS tool looks. The encryption context says which data key it is, so that KMS refuses to
    open one as another, and CloudTrail shows it.
    """

    kind = "aws-kms"
    remote = True

    def __init__(self, arn: str, patience: Patience = PATIENCE) -> None:
        found = _ARN.match(arn)
        assert found is not None, "the configuration let it pass"
        self.arn, self.region = arn, found[1]
        self._patience = patience

    @property
    def source(self) -> str:
        """Return the setting."""
        return f"aws-kms:{self.arn}"

    @property
    def id(self) -> str:
        """Return 16 hex digits that name the key; a multi-Region key's replicas are one key."""
        name = self.arn.replace(f":{self.region}:", ":*:", 1) if ":key/mrk-" in self.arn else self.arn
        return hashlib.sha256(b"pitstop aws kms v1\0" + name.encode()).hexdigest()[:16]

    def describe(self) -> str:
        """Return the setting."""
        return self.source

    def recognises(self, form: WrappedKey) -> bool:
        """Say whether a form was wrapped with this key."""
        return (form.kind, form.by) == (self.kind, self.id)

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Return the data key's form under this key."""
        bound = bound_to(key_id, self.kind, self.id)
        wrapped = self._call("encrypt", Plaintext=data_key, EncryptionContext=context_of(bound))
        return WrappedKey(key_id, self.kind, self.id, wrapped, {"name": self.arn})

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Return the data key, or None when the form was altered."""
        try:
            return self._call("decrypt", CiphertextBlob=form.wrapped, EncryptionContext=context_of(form.bound))
        except _Altered:
            return None

    @cached_property
    def _client(self) -> Any:
        # Each request is made once; trying again is our own business.
        once = SdkConfig(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10)
        try:
            return boto3.session.Session().client("kms", region_name=self.region, config=once)
        except (BotoCoreError, ValueError) as error:
            raise Usage(
                f"The SDK cannot work with {self.source} in [encryption]: {error}.",
                hint="Are AWS_PROFILE and AWS_ENDPOINT_URL_KMS right, where they are set?",
                code="kms-settings",
            ) from None

    def _call(self, name: str, **arguments: Any) -> bytes:
        return self._patience.insist(lambda: self._once(name, arguments))

    def _once(self, name: str, arguments: dict[str, Any]) -> bytes:
        try:
            answer = getattr(self._client, name)(KeyId=self.arn, **arguments)
            # The SDK takes an answer whose body broke off at its beginning for one without content.
            if found := bytes(answer.get(_ANSWERS[name], b"")):
                return found
            raise Again(
                f"An answer of AWS KMS in {self.region} ended early ({self.source} in [encryption]).", code="kms-failed"
            )
        except ClientError as error:
            raise self._told(name, error) from None
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise self._credentials(str(error)) from None
        except BotoCoreError as error:
            raise Again(
                f"AWS KMS in {self.region} does not answer ({self.source} in [encryption]): {error}.",
                hint=f"Is the region {self.region} right, and can this host reach it? A proxy comes from HTTPS_PROXY.",
                code="kms-away",
                quick=True,
            ) from None
        except (
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # what the SDK raises over an answer that it cannot read
            raise self._stranger() from error

    def _stranger(self) -> Again:
        return Again(
            f"What answers in the place of AWS KMS in {self.region} is not KMS ({self.source} in [encryption]).",
            hint="Does a proxy or a log-in page answer? A proxy comes from HTTPS_PROXY, another server from AWS_ENDPOINT_URL_KMS.",
            code="kms-stranger",
            quick=True,
        )

    def _told(self, name: str, error: ClientError) -> Exception:
        """Return what an answer of KMS means to the person who has to act."""
        told = error.response.get("Error", {})
        code, text = str(told.get("Code", "")), str(told.get("Message", "")).rstrip(".")
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _ALTERED:
            return _Altered()
        if not code or (code.isdecimal() and status < 500 and status != 429):
            return self._stranger()  # KMS has a word for each refusal: nothing is said of the key
        if code in _PASSING or status >= 500 or status == 429:
            return Again(
                f"AWS KMS in {self.region} cannot do it just now ({code or status}; {self.source} in [encryption]).",
                hint="Pitstop tries again by itself. Are many others using KMS with this account?",
                code="kms-throttled" if "hrottl" in code or "imit" in code else "kms-failed",
            )
        if code in _CREDENTIALS:
            return self._credentials(f"{code}: {text}")
        return self._refusal(name, code, text)

    def _refusal(self, name: str, code: str, text: str) -> PitstopError:
        what, hint, ours = _REFUSALS.get(code, ("", "", "kms-refused"))
        if code == "KMSInvalidStateException" and "pending" in text.lower() and "deletion" in text.lower():
            what, hint, ours = _REFUSALS["pending deletion"]
        if code in {"AccessDeniedException", "AccessDenied"}:
            action = _PERFORM.search(text)
            what = f"does not allow {action[1] if action else _ACTIONS[name]} to these credentials"
            hint = "Grant it in the key's policy or to the role; docs/storage.md says what is needed."
            ours = "kms-denied"
        if not what:
            what, hint = f"refused to {name}: {code}: {text}", "Is it a symmetric key for encrypting and decrypting?"
        sentence = f"The KMS key {self.source} in [encryption] {what.format(region=self.region)}."
        return Usage(sentence, hint=hint.format(arn=self.arn, region=self.region), code=ours)

    def _credentials(self, why: str) -> Usage:
        return Usage(
            f"The credentials for AWS KMS ({self.source} in [encryption]) cannot be used: {why.rstrip('.')}.",
            hint="Pitstop takes them where every AWS tool does: AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws, the instance's role. "
            f"Does `aws kms describe-key --key-id {self.arn}` work for this user?",
            code="kms-credentials",
        )


def context_of(bound: bytes) -> dict[str, str]:
    """Return the encryption context of a form: what it is bound to, each value as text, the names with `pitstop:` in front."""
    return {f"pitstop:{name}": str(value) for name, value in json.loads(bound).items()}


class _Altered(Exception):
    """KMS says that a ciphertext is not one of this key and context."""


_REFUSALS = {
    "NotFoundException": (
        "does not exist in the region {region}",
        "Is its region right, and the account? `aws kms describe-key --key-id {arn}`. A key that was deleted does not come back.",
        "kms-no-key",
    ),
    "InvalidArnException": ("is not a name that KMS takes", "Write the ARN that the console shows.", "kms-no-key"),
    "DisabledException": (
        "is disabled",
        "If that was not meant: aws kms enable-key --region {region} --key-id {arn}",
        "kms-disabled",
    ),
    "pending deletion": (
        "is going to be deleted: nothing it wrapped can be opened then",
        "If that was not meant, at once: aws kms cancel-key-deletion --region {region} --key-id {arn}, then enable-key.",
        "kms-pending-deletion",
    ),
    "KMSInvalidStateException": (
        "is in a state in which it cannot be used",
        "Look at it: aws kms describe-key --region {region} --key-id {arn}",
        "kms-state",
    ),
    "InvalidKeyUsageException": (
        "is not one that encrypts",
        "Name a symmetric key whose usage is ENCRYPT_DECRYPT.",
        "kms-usage",
    ),
}
