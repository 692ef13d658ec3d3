"""What `[repositories.X]` may hold: each setting with the places it is for, and every mistake with its key path."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import load
from bot.errors import Usage

REST = '[encryption]\nkey = "file:/k"\n[clusters.slips]\ndsn = "host=x"\n'
GOOD = [
    'url = "file:///var/backups/pit%20stop"\nmax_rate_kib = 20480',
    'url = "s3://backups"',
    'url = "s3://slipverification-backups/prod/a.b"\nregion = "us-west-2"\nstorage_class = "STANDARD_IA"',
    'url = "s3://backups"\nbucket_owner = "123456789012"',
    'url = "s3://backups/prod"\nsse = "aws:kms"\nsse_kms_key_id = "arn:aws:kms:us-west-2:1:key/x"\nretrieval = "bulk"',
    'url = "s3://backups/prod"\nobject_lock = "compliance"\nretention = "35d"\nretry_for = "2m"',
    'url = "s3://backups/prod"\nendpoint_url = "https://minio.example:9000/"\naddressing = "virtual"',
    'url = "s3://backups/prod"\nchecksums = "sha256"\ntags = true',
    'url = "azure://slipbackups/database-backups/prod"\nstorage_class = "Cool"\nencryption_scope = "x"',
]
BAD = [
    ('url = "ftp://x/y"', "url: the scheme “ftp” is none of file, s3 and azure; write file:///"),
    ('url = "S3://backups/x"', "url: the scheme “S3” is none of file, s3 and azure; write s3:// in small letters"),
    (
        'url = "/var/backups"',
        "url: it has no scheme; write file:///var/backups/pitstop, s3://bucket/prefix or azure://",
    ),
    ('url = "s3:backups"', "url: it has no scheme"),
    ('url = "s3://AKIA:secret@backups/x"', "url: a user, a password or a key has no place in it"),
    ('url = "s3://UPPER/x"', "url: “UPPER” is no bucket's name: that has 3 to 63 small letters"),
    ('url = "s3://backups?region=us-west-2"', "url: “backups?region=us-west-2” is no bucket's name"),
    ('url = "s3:///prod"', "url: it names no bucket; write s3://bucket/prefix"),
    ('url = "s3://backups/.hidden"', "url: “.hidden” cannot be part of a prefix"),
    ('url = "s3://backups/a/../b"', "url: “..” cannot be part of a prefix"),
    ('url = "s3://backups/a b"', "url: “a b” cannot be part of a prefix: that is made of letters"),
    ('url = "s3://backups/a//b"', "url: its prefix has two slashes in a row; write s3://bucket/prefix"),
    ('url = "s3://backups//"', "url: its prefix has two slashes in a row"),
    ('url = "azure://account"', "url: it names no container; write azure://account/container/prefix"),
    ('url = "azure:///container"', "url: it names no storage account"),
    (
        'url = "azure://slip.blob.core.windows.net/backups"',
        "url: “slip.blob.core.windows.net” is no storage account's name: that has 3 to 24 small letters and digits; write slip",
    ),
    ('url = "azure://account/a--b"', "url: “a--b” is no container's name"),
    ('url = "azure://account/container/a:b"', "url: “a:b” cannot be part of a prefix"),
    ('url = "file:///"', "url: it names no folder; write its whole path"),
    ('url = "file:///var/../etc"', "url: the path of the folder goes up with .."),
    ('url = "file:///var/backups%00"', "url: the path of the folder has invisible characters"),
    ('url = "file:///var/backups\\n"', "url: the path of the folder has invisible characters"),
    ('url = "file://host/var/backups"', "url: a folder of this host has three slashes before it: file:///var"),
    ('url = "file:/var/backups"', "url: a folder of this host has three slashes before it"),
    ('url = "file:///x"\nregion = "us-west-2"', "region: this setting is for s3:// alone"),
    ('url = "file:///x"\nstorage_class = "STANDARD_IA"', "storage_class: this setting is for s3:// and azure:// alone"),
    ('url = "azure://account/container"\nsse = "AES256"', "sse: this setting is for s3:// alone"),
    ('url = "s3://backups"\nencryption_scope = "x"', "encryption_scope: this setting is for azure:// alone"),
    ('url = "s3://backups"\nstorage_class = "GLACIER"', "storage_class: what is written into GLACIER cannot be read"),
    ('url = "azure://account/container"\nstorage_class = "Archive"', "storage_class: what is written into Archive"),
    ('url = "s3://backups"\nsse_kms_key_id = "x"', 'sse_kms_key_id: this setting needs sse = "aws:kms"'),
    ('url = "s3://backups"\nretention = "35d"', "retention: this setting needs object_lock"),
    ('url = "s3://backups"\nobject_lock = "governance"', "object_lock needs retention"),
    ('url = "s3://backups"\nobject_lock = "governance"\nretention = "1h"', "retention: write at least 1d"),
    ('url = "s3://backups"\nobject_lock = "maybe"\nretention = "1d"', "object_lock: "),
    ('url = "s3://backups"\nbucket_owner = "me"', "bucket_owner: write the twelve digits"),
    ('url = "s3://backups"\nendpoint_url = "https://user:secret@minio"', "endpoint_url: write https://host"),
    ('url = "s3://backups"\nendpoint_url = "minio:9000"', "endpoint_url: write https://host"),
    ('url = "s3://backups"\nmax_rate_kib = -1', "max_rate_kib: "),
    ('url = "s3://backups"\naccess_key = "AKIA"', "access_key: unknown key"),
]


def written(folder: Path, lines: str) -> Path:
    """Write a configuration with one repository."""
    path = folder / "pitstop.toml"
    path.write_text(f"[repositories.offsite]\n{lines}\n{REST}", encoding="utf-8")
    return path


@pytest.mark.parametrize("lines", GOOD)
def test_settings_that_fit(tmp_path: Path, lines: str) -> None:
    """Each setting is taken where it belongs."""
    load(written(tmp_path, lines))


@pytest.mark.parametrize(("lines", "says"), BAD)
def test_settings_that_do_not(tmp_path: Path, lines: str, says: str) -> None:
    """A setting in the wrong place, or without the one it needs, is an error that names its key path."""
    with pytest.raises(Usage) as caught:
        load(written(tmp_path, lines))
    assert f"repositories.offsite{'' if says.startswith('object_lock needs') else '.'}" in caught.value.message
    assert says in caught.value.message
    assert "secret" not in caught.value.message


def test_places(tmp_path: Path) -> None:
    """A URL is read into its parts; a directory's is decoded."""
    found = [load(written(tmp_path, GOOD[n]))[0].repositories["offsite"] for n in (0, 1, 2, -1)]
    assert found[0].directory == Path("/var/backups/pit stop")
    assert [one.place for one in found[1:]] == [
        ("backups", ""),
        ("slipverification-backups", "prod/a.b"),
        ("slipbackups", "database-backups", "prod"),
    ]
