"""`[encryption]`: one key or several, what each kind must look like, and what is told about one that does not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from bot.config import EncryptionConfig

ARN = "aws-kms:arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VAULT = "azure-key-vault:https://slips.vault.azure.net/keys/pitstop"


def test_one_key_or_several() -> None:
    """A single key and a list are read alike, in order, and rotation is due once a year unless something else is written."""
    one = EncryptionConfig.model_validate({"key": "file:/etc/pitstop/key"})
    assert [tuple(key) for key in one.wrapping] == [("file", "/etc/pitstop/key")]
    assert one.rotate_every == timedelta(days=365)
    sources = ["file:/etc/pitstop/key", "passphrase:/etc/pitstop/passphrase", ARN, VAULT]
    several = EncryptionConfig.model_validate({"keys": sources, "rotate_every": "90d"})
    assert [f"{key.kind}:{key.place}" for key in several.wrapping] == sources
    assert [key.is_file for key in several.wrapping] == [True, True, False, False]


@pytest.mark.parametrize(
    ("written", "needle"),
    [
        ({}, "a key is needed"),
        ({"key": "file:/k", "keys": ["file:/k"]}, "not both"),
        ({"key": "/etc/pitstop/key"}, "write file:/etc/pitstop/key"),
        ({"key": "file:key"}, "absolute path"),
        ({"key": "file:/etc/pitstop/"}, "absolute path"),
        ({"key": "passphrase:correct horse battery staple"}, "name the file that holds it"),
        ({"key": "passphrase-file:/etc/p"}, "write file:/etc/pitstop/key"),
        ({"key": "aws-kms:alias/pitstop"}, "not by an alias"),
        ({"key": "aws-kms:arn:aws:kms:eu-central-1:123456789012:alias/pitstop"}, "not by an alias"),
        ({"key": "azure-key-vault:http://slips.vault.azure.net/keys/pitstop"}, "https://NAME"),
        ({"key": f"{VAULT}/0123456789abcdef0123456789abcdef"}, "without a version"),
        ({"keys": ["file:/a", "file:/a"]}, "is there twice"),
        ({"keys": ["file:/a", "gpg:me"]}, "“gpg:me”: write file:/etc/pitstop/key"),
        ({"key": "file:/a", "rotate_every": "1h"}, "at least 1d"),
    ],
)
def test_what_is_refused(written: dict[str, object], needle: str) -> None:
    """Each mistake is told with what to write instead."""
    with pytest.raises(ValidationError) as caught:
        EncryptionConfig.model_validate(written)
    assert needle in str(caught.value)
