"""The `[repositories.NAME]` and `[encryption]` tables."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bot.config.urls import place_of
from bot.config.values import Duration, Table

_ASLEEP = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE"}


def _of(*schemes: str) -> Any:
    """Return a check that a setting is given only for repositories of these kinds."""

    def check(value: Any, info: ValidationInfo) -> Any:
        url = info.data.get("url")
        if value is not None and isinstance(url, str) and not url.startswith(tuple(f"{s}://" for s in schemes)):
            raise ValueError(f"this setting is for {' and '.join(f'{s}://' for s in schemes)} alone")
        return value

    return AfterValidator(check)


class RepositoryConfig(Table):
    """One place backups are kept: `file:///path`, `s3://bucket/prefix` or `azure://account/container/prefix`.

    Credentials are never here: they come from where the cloud's own tools take them.
    """

    url: str
    level: int = Field(default=1, ge=1, le=19)
    codec: Literal["zstd", "gzip", "none"] = "zstd"
    max_rate_kib: int = Field(default=0, ge=0)
    endpoint_url: Annotated[str | None, _of("s3", "azure")] = None
    retry_for: Annotated[Duration | None, _of("s3", "azure")] = None
    storage_class: Annotated[str | None, _of("s3", "azure")] = None
    object_lock: Annotated[Literal["governance", "compliance"] | None, _of("s3", "azure")] = None
    retention: Annotated[Duration | None, _of("s3", "azure")] = None
    retrieval: Annotated[Literal["bulk", "standard", "expedited"] | None, _of("s3", "azure")] = None
    region: Annotated[str | None, _of("s3")] = None
    addressing: Annotated[Literal["path", "virtual"] | None, _of("s3")] = None
    sse: Annotated[Literal["AES256", "aws:kms"] | None, _of("s3")] = None
    sse_kms_key_id: Annotated[str | None, _of("s3")] = None
    bucket_owner: Annotated[str | None, _of("s3")] = None
    checksums: Annotated[Literal["sha256", "when_required"] | None, _of("s3")] = None
    tags: Annotated[bool | None, _of("s3")] = None
    encryption_scope: Annotated[str | None, _of("azure")] = None

    @field_validator("url")
    @classmethod
    def _a_place(cls, value: str) -> str:
        place_of(value)
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/@\s]+(/[^?#@\s]*)?", value):
            raise ValueError("write https://host[:port], without a user, a password or a query")
        return value.rstrip("/") if value else value

    @field_validator("storage_class")
    @classmethod
    def _awake(cls, value: str | None) -> str | None:
        if value is not None and value.upper() in _ASLEEP:
            raise ValueError(
                f"what is written into {value} cannot be read for hours; the bucket's lifecycle may move it there"
            )
        return value

    @field_validator("retention")
    @classmethod
    def _with_a_lock(cls, value: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if value is not None and "object_lock" in info.data and info.data["object_lock"] is None:
            raise ValueError("this setting needs object_lock beside it")
        if value is not None and not timedelta(days=1) <= value <= timedelta(days=36500):
            raise ValueError("write at least 1d")
        return value

    @field_validator("sse_kms_key_id")
    @classmethod
    def _with_kms(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("sse") != "aws:kms":
            raise ValueError('this setting needs sse = "aws:kms" beside it')
        return value

    @field_validator("bucket_owner")
    @classmethod
    def _an_account(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d{12}", value):
            raise ValueError("write the twelve digits of an AWS account")
        return value

    @model_validator(mode="after")
    def _lock_with_a_retention(self) -> RepositoryConfig:
        if self.object_lock is not None and self.retention is None:
            raise ValueError("object_lock needs retention beside it, for example 35d")
        return self

    @property
    def scheme(self) -> str:
        """The kind of place: `file`, `s3` or `azure`."""
        return self.url.partition("://")[0]

    @property
    def directory(self) -> Path | None:
        """The folder of a repository in a directory; None in a cloud."""
        return Path(*place_of(self.url)) if self.scheme == "file" else None

    @property
    def place(self) -> tuple[str, ...]:
        """What a cloud's URL names: (bucket, prefix) or (account, container, prefix); the prefix may be empty."""
        return place_of(self.url)


_KMS = re.compile(r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+\Z")
_VAULT = re.compile(r"^https://[a-z0-9.-]+(:\d+)?/keys/[A-Za-z0-9-]{1,127}\Z")
_FIRST_YEAR = timedelta(days=365)


class Wrapping(NamedTuple):
    """One key that wraps data keys: its kind, and the path, ARN or URL that names it."""

    kind: str
    place: str

    @property
    def is_file(self) -> bool:
        """Whether it is kept in a file of this machine."""
        return self.kind in {"file", "passphrase"}


def _parsed(value: str) -> Wrapping:
    """Read one key of `[encryption]`.

    Raises:
        ValueError: with what to write instead.
    """
    kind, _, place = value.partition(":")
    match kind:
        case "file" | "passphrase" if place.startswith("/") and not place.endswith("/"):
            return Wrapping(kind, place)
        case "file":
            raise ValueError(
                "name a key file with an absolute path: file:/etc/pitstop/key (made by `pitstop keys init`)"
            )
        case "passphrase":
            raise ValueError("name the file that holds it, with an absolute path: passphrase:/etc/pitstop/passphrase")
        case "aws-kms" if _KMS.match(place):
            return Wrapping(kind, place)
        case "aws-kms":
            raise ValueError(
                "name the key itself by its ARN, aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID; not by an alias, which may be "
                "moved to another key"
            )
        case "azure-key-vault" if _VAULT.match(place):
            return Wrapping(kind, place)
        case "azure-key-vault":
            raise ValueError(
                "name the key by its URL without a version, azure-key-vault:https://NAME.vault.azure.net/keys/KEY; each "
                "wrapped form keeps the version that made it"
            )
    raise ValueError(
        "write file:/etc/pitstop/key, passphrase:/etc/pitstop/passphrase, aws-kms:ARN or "
        "azure-key-vault:https://NAME.vault.azure.net/keys/KEY"
    )


class EncryptionConfig(Table):
    """What wraps the data keys: one `key`, or several `keys` of which any one opens everything."""

    key: str | None = None
    keys: tuple[str, ...] = ()
    rotate_every: Duration = _FIRST_YEAR

    @field_validator("key")
    @classmethod
    def _known_kind(cls, value: str | None) -> str | None:
        if value is not None:
            _parsed(value)
        return value

    @field_validator("keys")
    @classmethod
    def _known_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                _parsed(one)
            except ValueError as error:
                raise ValueError(f"“{one}”: {error}") from None
        if double := next((one for one in value if value.count(one) > 1), None):
            raise ValueError(f"“{double}” is there twice")
        return value

    @field_validator("rotate_every")
    @classmethod
    def _now_and_then(cls, value: timedelta) -> timedelta:
        if value < timedelta(days=1):
            raise ValueError("write at least 1d")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> EncryptionConfig:
        if self.key is not None and self.keys:
            raise ValueError("name one `key` or several `keys`, not both")
        if self.key is None and not self.keys:
            raise ValueError('a key is needed: key = "file:/etc/pitstop/key" (made by `pitstop keys init`)')
        return self

    @property
    def wrapping(self) -> tuple[Wrapping, ...]:
        """The keys, in the order of the file."""
        return tuple(_parsed(one) for one in self.sources)

    @property
    def sources(self) -> tuple[str, ...]:
        """The keys as they are written."""
        return self.keys or ((self.key,) if self.key is not None else ())
