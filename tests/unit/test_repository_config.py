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
    ('url = "ftp://x/y"', "url: write file:///"),
    ('url = "s3://UPPER/x"', "url: write file:///"),
    ('url = "s3://backups/.hidden"', "url: write file:///"),
    ('url = "s3://backups/a/../b"', "url: write file:///"),
    ('url = "azure://account"', "url: write file:///"),
    ('url = "file:///"', "url: write the whole path of a folder"),
    ('url = "file:///var/../etc"', "url: write the whole path of a folder"),
    ('url = "file:///var/backups%00"', "url: write the whole path of a folder"),
    ('url = "file:///var/backups\\n"', "url: write the whole path of a folder"),
    ('url = "file://host/var/backups"', "url: write file:///"),
    ('url = "/var/backups"', "url: write file:///"),
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


def test_places(tmp_path: Path) -> None:
    """A URL is read into its parts; a directory's is decoded."""
    found = [load(written(tmp_path, GOOD[n]))[0].repositories["offsite"] for n in (0, 1, 2, -1)]
    assert found[0].directory == Path("/var/backups/pit stop")
    assert [one.place for one in found[1:]] == [
        ("backups", ""),
        ("slipverification-backups", "prod/a.b"),
        ("slipbackups", "database-backups", "prod"),
    ]
