"""The bucket itself: made and set up as the strategy says, and its live rules judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from bot.errors import Unavailable
from bot.repository.stores.lifecycle import Rule, harms, merged, missing, s3_rules
from bot.repository.stores.patience import Patience
from bot.repository.stores.place import Remark, Step, unseen
from bot.repository.stores.s3 import S3

_TLS_ONLY = "PitstopTlsOnly"
_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


class S3Bucket:
    """What `pitstop storage setup` and `pitstop check` do with the bucket of an S3 repository."""

    def __init__(self, cloud: S3, patience: Patience) -> None:
        self._cloud, self._patience = cloud, patience
        # A server that is not AWS has no Glacier to move to.
        self.rules = s3_rules(cloud.prefix, tags=cloud.tags, archive=cloud.aws)

    def setup(self, *, dry_run: bool) -> Iterator[Step]:
        """Yield what is done, or would be; done twice it changes nothing. What others set there stays.

        Raises, but for a dry run:
            Unavailable: naming the permission that is missing, among others; what was yielded before is done.
        """
        try:
            exists = self._exists()
        except Unavailable as error:
            if not dry_run:
                raise
            yield unseen(f"the bucket {self._cloud.name}", error)
            yield from self._unlooked()
            return
        yield self._step("bucket", f"the bucket {self._cloud.name}", exists, self._create, dry_run)
        ready = exists or not dry_run
        for name, text, is_there, do in self._parts():
            yield self._try(name, text, is_there if ready else lambda: False, do, dry_run)
        yield from self._plain_http()
        yield from self._foreign_rules(dry_run) if ready else ()

    def _parts(self) -> Iterator[tuple[str, str, Callable[[], bool], Callable[[], None]]]:
        """Yield what belongs to the bucket, with how to see whether it is there, and how it is done."""
        for name, text, is_there, do in (
            ("versioning", "versioning, so that a deletion can be undone for 30 days", self._versioned, self._version),
            ("private", "public access blocked", self._private, self._close_to_public),
            ("tls", "only TLS accepted", self._tls_only, self._demand_tls),
            ("encryption", f"encryption at rest ({self._cloud.config.sse})", self._encrypted, self._encrypt),
            ("lifecycle", f"lifecycle: {', '.join(rule['ID'] for rule in self.rules)}", self._aged, self._age),
        ):
            if (name != "tls" or not self._plain) and (name != "encryption" or self._cloud.config.sse):
                yield name, text, is_there, do

    @property
    def _plain(self) -> bool:
        return (self._cloud.config.endpoint_url or "").startswith("http://")

    def _plain_http(self) -> Iterator[Step]:
        if self._plain:
            text = "only TLS accepted: not while endpoint_url is plain HTTP, it would shut Pitstop out"
            yield Step("tls", "by-hand", text)

    def _unlooked(self) -> Iterator[Step]:
        """Yield what is done unless it is there already, which nobody could see."""
        yield Step("bucket", "perhaps", f"the bucket {self._cloud.name}")
        for name, text, _, _ in self._parts():
            yield Step(name, "perhaps", text)
        yield from self._plain_http()

    def _foreign_rules(self, dry_run: bool) -> Iterator[Step]:
        try:
            harmful = self._harms()
        except Unavailable as error:
            if not dry_run:
                raise
            yield unseen("whether other lifecycle rules harm", error)
            return
        if harmful:
            yield Step("foreign-rules", "failed", " ".join(harmful))

    def document(self) -> dict[str, Any]:
        """Return what `--dry-run` prints: policy and lifecycle as they would be sent."""
        return {"policy": self._policy({}), "lifecycle": {"Rules": self.rules}, "public_access_block": _CLOSED}

    def remarks(self) -> Iterator[Remark]:
        """Yield what is good and bad about the live bucket."""
        harmful = self._harms()
        for sentence in harmful:
            fix = "Narrow the rule to another prefix, or to the tag pitstop-window=left; or remove it."
            yield Remark("fail", "lifecycle-harmful", sentence, fix)
        if not harmful:
            yield Remark("ok", "lifecycle-harmless", "No lifecycle rule touches keys, manifests or live backups.")
        for code, text, there in (
            ("lifecycle", "Pitstop's lifecycle rules are", self._aged),
            ("versioning", "Versioning is", self._versioned),
            ("private", "Public access is blocked:", self._private),
            ("tls", "The policy that accepts TLS alone is", self._tls_only),
        ):
            yield self._remark(code, text, there)
        if self._cloud.config.object_lock and not self._lockable():
            sentence = f"The bucket {self._cloud.name} has no object lock, which {self._cloud.bucket.where} asks for."
            yield Remark(
                "fail", "object-lock", sentence, "It can only be turned on for a new bucket, or by AWS support."
            )

    def _remark(self, code: str, text: str, there: Callable[[], bool]) -> Remark:
        try:
            if there():
                return Remark("ok", code, f"{text} in place.")
            return Remark("warn", code, f"{text} not in place.", "pitstop storage setup")
        except Unavailable as error:
            if error.reason_code == "storage-unsupported":
                return Remark("ok", code, f"The server does not know {code}.")
            return Remark("warn", code, f"It cannot be seen: {error.message}", error.hint)

    def _try(self, name: str, text: str, there: Callable[[], bool], do: Callable[[], None], dry_run: bool) -> Step:
        try:
            return self._step(name, text, there(), do, dry_run)
        except Unavailable as error:
            if error.reason_code == "storage-unsupported":
                return Step(name, "unsupported", f"{text}: {self._cloud.bucket.host} does not know it")
            if not dry_run:
                raise
            return Step(name, "perhaps", f"{text}; it could not be looked at: {error.message}")

    @staticmethod
    def _step(name: str, text: str, there: bool, do: Callable[[], None], dry_run: bool) -> Step:
        if not there and not dry_run:
            do()
        return Step(name, "there" if there else "would" if dry_run else "done", text)

    def _exists(self) -> bool:
        try:
            self._call("head_bucket")
        except Unavailable as error:
            if error.reason_code != "storage-no-bucket":
                raise
            return False
        return True

    def _create(self) -> None:
        more: dict[str, Any] = {}
        if self._cloud.region not in {None, "us-east-1"}:
            more["CreateBucketConfiguration"] = {"LocationConstraint": self._cloud.region}
        if self._cloud.config.object_lock:
            more["ObjectLockEnabledForBucket"] = True
        self._call("create_bucket", **more)

    def _versioned(self) -> bool:
        return bool(self._call("get_bucket_versioning").get("Status") == "Enabled")

    def _version(self) -> None:
        self._call("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})

    def _private(self) -> bool:
        found = self._or_none("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
        return found is not None and found["PublicAccessBlockConfiguration"] == _CLOSED

    def _close_to_public(self) -> None:
        self._call("put_public_access_block", PublicAccessBlockConfiguration=_CLOSED)

    def _tls_only(self) -> bool:
        wanted = self._policy({})["Statement"]
        return all(statement in self._live_policy().get("Statement", []) for statement in wanted)

    def _demand_tls(self) -> None:
        self._call("put_bucket_policy", Policy=json.dumps(self._policy(self._live_policy())))

    def _live_policy(self) -> dict[str, Any]:
        found = self._or_none("get_bucket_policy", "NoSuchBucketPolicy")
        policy: dict[str, Any] = json.loads(found["Policy"]) if found else {}
        return policy

    def _policy(self, live: dict[str, Any]) -> dict[str, Any]:
        """Return the live policy with our statement in the place of ours."""
        partition = "aws-cn" if self._cloud.bucket.host.endswith(".cn") else "aws"
        arn = f"arn:{partition}:s3:::{self._cloud.name}"
        statement = {
            "Sid": _TLS_ONLY,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        others = [one for one in live.get("Statement", []) if one.get("Sid") != _TLS_ONLY]
        return {"Version": "2012-10-17", **live, "Statement": [*others, statement]}

    def _encrypted(self) -> bool:
        found = self._or_none("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
        rules = found["ServerSideEncryptionConfiguration"]["Rules"] if found else []
        return any(rule.get("ApplyServerSideEncryptionByDefault") == self._default_encryption() for rule in rules)

    def _encrypt(self) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": self._default_encryption()}
        self._call("put_bucket_encryption", ServerSideEncryptionConfiguration={"Rules": [rule]})

    def _default_encryption(self) -> dict[str, str]:
        config = self._cloud.config
        return {"SSEAlgorithm": config.sse or ""} | (
            {"KMSMasterKeyID": config.sse_kms_key_id} if config.sse_kms_key_id else {}
        )

    def _aged(self) -> bool:
        return not missing(self._live_rules(), self.rules)

    def _age(self) -> None:
        rules = merged(self._live_rules(), self.rules)
        self._call("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": rules})

    def _live_rules(self) -> list[Rule]:
        found = self._or_none("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
        return list(found.get("Rules", ())) if found else []

    def _harms(self) -> list[str]:
        try:
            live = self._live_rules()
        except Unavailable as error:
            if error.reason_code != "storage-unsupported":
                raise
            return []
        return [
            f"The lifecycle rule {harm.rule} of the bucket {self._cloud.name} {harm.does}."
            for harm in harms(live, self._cloud.prefix)
        ]

    def _lockable(self) -> bool:
        found = self._or_none("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")
        return found is not None and found["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"

    def _or_none(self, call: str, absent: str) -> Any:
        """Return what is configured, or None where nothing is."""
        return self._call(call, absent=absent)

    def _call(self, call: str, **arguments: Any) -> Any:
        return self._patience.insist(lambda: self._cloud.call(call, None, **arguments))
