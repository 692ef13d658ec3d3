"""Buckets and containers: set up, set up again, judged; and whole repositories in them, from the command line to the last byte."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bot import cli
from bot.config import EncryptionConfig, RepositoryConfig
from bot.errors import PitstopError, Usage
from bot.repository.keys.file import create_key_file
from bot.repository.open import open_repository
from bot.repository.stores.cloud import CloudStore
from bot.repository.stores.s3 import S3
from tests.contract.conftest import CLOUDS, IMPATIENT, azure_config, open_cloud, s3_config
from tests.contract.faulty import proxied
from tests.unit.repository.sample import SECOND, data_directory, sample_cluster, segment, write_backup

HARMFUL: dict[str, Any] = {
    "ID": "ArchiveOldBackups",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}],
    "Expiration": {"Days": 365},
}
FOREIGN: dict[str, Any] = {**HARMFUL, "ID": "logs", "Filter": {"Prefix": "logs/"}}


@pytest.fixture
def bucket(s3_server: str) -> Iterator[CloudStore]:
    """A store in a bucket that is not there yet."""
    store = open_cloud("s3", s3_server, "prod", bucket=f"new-{secrets.token_hex(4)}", tags=True)
    yield store
    store.close()


def s3(store: CloudStore) -> S3:
    """Return the calls."""
    return cast(S3, store.cloud)


def states(store: CloudStore, *, dry_run: bool = False) -> dict[str, str]:
    """Set the place up, and return the state of each step."""
    return {step.name: step.state for step in store.place().setup(dry_run=dry_run)}


def test_a_dry_run_changes_nothing(bucket: CloudStore) -> None:
    """A dry run says what would be done, and not even the bucket is there afterwards."""
    assert set(states(bucket, dry_run=True).values()) == {"would", "by-hand"}
    with pytest.raises(PitstopError) as caught:
        bucket.exists("a")
    assert caught.value.reason_code == "storage-no-bucket"


def test_a_bucket_is_set_up(bucket: CloudStore) -> None:
    """Versioning, no public access and the lifecycle are there afterwards; again, nothing is left to do; others' rules stay."""
    assert states(bucket) == {
        "bucket": "done", "versioning": "done", "private": "done", "tls": "by-hand", "lifecycle": "done"
    }  # fmt: skip
    assert set(states(bucket).values()) == {"there", "by-hand"}
    rules = s3(bucket).call("get_bucket_lifecycle_configuration", None)["Rules"]
    s3(bucket).call("put_bucket_lifecycle_configuration", None, LifecycleConfiguration={"Rules": [FOREIGN, *rules[1:]]})
    assert states(bucket)["lifecycle"] == "done"
    live = s3(bucket).call("get_bucket_lifecycle_configuration", None)["Rules"]
    assert {rule["ID"] for rule in live} == {rule["ID"] for rule in rules} | {"logs"}
    assert {remark.level for remark in bucket.place().remarks() if remark.code != "tls"} == {"ok"}


def test_a_rule_that_takes_backups_is_refused(bucket: CloudStore) -> None:
    """The strategy's own lifecycle would archive keys and manifests: set-up and check both refuse it by name."""
    states(bucket)
    s3(bucket).call("put_bucket_lifecycle_configuration", None, LifecycleConfiguration={"Rules": [HARMFUL]})
    failed = [step for step in bucket.place().setup(dry_run=False) if step.state == "failed"]
    assert "ArchiveOldBackups" in failed[0].text
    bad = [remark for remark in bucket.place().remarks() if remark.level == "fail"]
    assert {remark.code for remark in bad} == {"lifecycle-harmful"}
    assert "keys, manifests and backups" in bad[0].sentence


def test_a_server_that_knows_half_of_it(bucket: CloudStore) -> None:
    """What a server does not know is said to be unknown, and the rest is set up."""
    with proxied(f"http://{s3(bucket).bucket.host}") as proxy:
        store = open_cloud("s3", proxy.url, "prod", bucket=s3(bucket).name)
        proxy.spoil("publicAccessBlock", "answer", times=10, status=501, code="NotImplemented")
        found = states(store)
        assert found["private"] == "unsupported"
        assert found["lifecycle"] == "done"
        store.close()


def test_the_permission_that_set_up_lacks(bucket: CloudStore) -> None:
    """A missing permission is named; what was done before stays done."""
    with proxied(f"http://{s3(bucket).bucket.host}") as proxy:
        store = open_cloud("s3", proxy.url, "prod", bucket=s3(bucket).name)
        proxy.spoil(r"^PUT .*versioning", "answer", status=403, code="AccessDenied")
        with pytest.raises(PitstopError, match="s3:PutBucketVersioning"):
            states(store)
        assert states(store)["bucket"] == "there"
        store.close()


def test_a_dry_run_goes_on_without_what_it_cannot_look_at(
    bucket: CloudStore, s3_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without network a dry run says so, and what is done unless it is there; where one look is refused, that of this step."""
    path = tmp_path / "pitstop.toml"
    path.write_text(
        f'[repositories.offsite]\nurl = "s3://offsite/prod"\nendpoint_url = "https://127.0.0.1:9"\nsse = "AES256"\n'
        f'[repositories.blob]\nurl = "azure://devstoreaccount1/pitstop/prod"\nendpoint_url = "https://127.0.0.1:9/dev"\n'
        f'[encryption]\nkey = "file:{tmp_path}/key"\n[clusters.slips]\ndsn = "host={tmp_path} user=nobody"\n',
        encoding="utf-8",
    )
    code, document = command(path, "storage", "setup", "--dry-run", capsys=capsys)
    assert code == 0
    found = {one["name"]: {step["name"]: step["state"] for step in one["steps"]} for one in document["repositories"]}
    parts = ("bucket", "versioning", "private", "tls", "encryption", "lifecycle")
    assert found["offsite"] == {"look": "unseen", **dict.fromkeys(parts, "perhaps")}
    assert found["blob"] == {
        "look": "unseen",
        "bucket": "perhaps",
        "versioning": "by-hand",
        "tls": "by-hand",
        "lifecycle": "by-hand",
    }
    assert all("127.0.0.1:9 cannot be reached" in one["steps"][0]["text"] for one in document["repositories"])
    assert all(one["rules"] for one in document["repositories"])
    code, document = command(path, "storage", "setup", "offsite", capsys=capsys)
    assert document["error"]["code"] == "storage-unreachable", "in earnest it is an error as before"
    states(bucket)
    with (
        proxied(s3_server) as proxy,
        contextlib.closing(open_cloud("s3", proxy.url, "prod", bucket=s3(bucket).name)) as store,
    ):
        proxy.spoil(r"^GET .*versioning", "answer", status=403, code="AccessDenied")
        assert states(store, dry_run=True) == {
            "bucket": "there", "versioning": "perhaps", "private": "there", "lifecycle": "there", "tls": "by-hand"
        }  # fmt: skip


def test_a_server_that_fails_while_it_is_set_up(bucket: CloudStore) -> None:
    """Questions and changes that fail are asked again; what never answers as S3 does is said, and nothing is done."""
    with proxied(f"http://{s3(bucket).bucket.host}") as proxy:
        store = open_cloud("s3", proxy.url, "prod", bucket=s3(bucket).name, tags=True)
        for matching in ("^HEAD ", "^PUT [^?]*$", "^GET .*versioning", "^PUT .*versioning", "^GET .*lifecycle"):
            proxy.spoil(matching, "answer", times=2)
        assert states(store)["lifecycle"] == "done"
        store.close()
        hasty = replace(IMPATIENT, for_s=0.2, quick_s=0.2)
        store = open_cloud("s3", proxy.url, "prod", bucket=s3(bucket).name, patience=hasty)
        page = {"status": 200, "body": b"<html>Sign in</html>", "headers": {"Content-Type": "text/html"}}
        proxy.spoil("", "answer", times=10_000, **page)
        for look in (lambda: states(store), lambda: list(store.place().remarks())):
            with pytest.raises(PitstopError) as caught:
                look()
            assert caught.value.reason_code == "storage-stranger"
        store.close()


def test_a_container_is_set_up(azure_server: str) -> None:
    """The container is made once, closed to the public; what only the account's owner can do is given as lines to run."""
    config = azure_config(azure_server).model_copy(
        update={"url": f"azure://devstoreaccount1/c{secrets.token_hex(4)}/prod"}
    )
    from bot.repository.stores.azure import open_azure

    store = open_azure("offsite", config)
    assert states(store, dry_run=True)["bucket"] == "would"
    with pytest.raises(PitstopError) as caught:
        store.children("")
    assert caught.value.reason_code == "storage-no-bucket"
    assert states(store)["bucket"] == "done"
    assert states(store)["bucket"] == "there"
    steps = {step.name: step.text for step in store.place().setup(dry_run=False)}
    policy = json.loads(steps["lifecycle"].partition("--policy '")[2].rstrip("'"))
    [rule] = policy["rules"]
    assert rule["definition"]["filters"]["blobIndexMatch"] == [{"name": "pitstop-window", "op": "==", "value": "left"}]
    assert {remark.level for remark in store.place().remarks()} == {"ok", "warn"}
    store.close()


@pytest.fixture(params=CLOUDS)
def config(request: pytest.FixtureRequest) -> RepositoryConfig:
    """The configuration of an empty repository in each cloud."""
    server = request.getfixturevalue(f"{request.param}_server")
    make = s3_config if request.param == "s3" else azure_config
    return make(server, secrets.token_hex(6))


def test_a_repository_in_a_cloud(config: RepositoryConfig, tmp_path: Path) -> None:
    """A backup and WAL written to a cloud are found and read back byte for byte by another installation with the key."""
    encryption = EncryptionConfig(key=f"file:{tmp_path}/key")
    create_key_file(tmp_path / "key")
    written = sample_cluster(open_repository("offsite", config, encryption, create=True))
    write_backup(written)
    written.wal.put_segment(1, 2, segment(1))
    written.wal.put_segment(1, 2, segment(1))
    written.wal.put_piece(1, 3, 0, segment(2)[:4096])

    read = sample_cluster(open_repository("offsite", config, encryption))
    [summary] = read.backups()
    assert (summary.id, summary.damaged) == (SECOND, None)
    content = b"".join(read.read_archive(read.manifest(SECOND), "base"))
    assert cast(bytes, data_directory()["base/5/16385"]) in content
    assert read.wal.read_segment(1, 2) == segment(1)
    assert read.wal.read_pieces(1, 3) == segment(2)[:4096]
    for repository in (written.repository, read.repository):
        cast(CloudStore, repository.store).close()


def test_a_place_with_other_things(config: RepositoryConfig, tmp_path: Path) -> None:
    """A repository is never begun where other things lie, or where its keys were lost."""
    from bot.repository.open import open_store

    encryption = EncryptionConfig(key=f"file:{tmp_path}/key")
    create_key_file(tmp_path / "key")
    store = cast(CloudStore, open_store("offsite", config))
    store.put("slips/1/cluster.json", [b"x"])
    with pytest.raises(Usage) as caught:
        open_repository("offsite", config, encryption, create=True)
    assert caught.value.reason_code == "not-a-repository"
    assert store.children("") == ["slips"]
    store.close()


def test_a_read_only_repository(s3_server: str, tmp_path: Path) -> None:
    """With credentials that may read alone, everything can be restored; only writing says what it lacks."""
    encryption = EncryptionConfig(key=f"file:{tmp_path}/key")
    create_key_file(tmp_path / "key")
    prefix = secrets.token_hex(6)
    write_backup(sample_cluster(open_repository("offsite", s3_config(s3_server, prefix), encryption, create=True)))
    with proxied(s3_server) as proxy:
        proxy.spoil("^(PUT|POST|DELETE) ", "answer", times=1000, status=403, code="AccessDenied")
        read = sample_cluster(open_repository("offsite", s3_config(proxy.url, prefix), encryption))
        assert len(b"".join(read.read_archive(read.manifest(SECOND), "base"))) > 200_000
        with pytest.raises(PitstopError, match="s3:PutObject"):
            read.wal.put_segment(1, 2, segment(1))
        cast(CloudStore, read.repository.store).close()


def command(config: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """Run a command line, and return its exit code and its JSON."""
    code = cli.run(["--config", str(config), *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_from_the_command_line(s3_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`storage setup`, `keys init` and `check` make a bucket, begin the repository and find nothing wrong with it."""
    name = f"cli-{secrets.token_hex(4)}"
    path = tmp_path / "pitstop.toml"
    path.write_text(
        f'ledger = "{tmp_path}/ledger.db"\nspool = "{tmp_path}/spool"\n'
        f'[repositories.offsite]\nurl = "s3://{name}/prod"\nendpoint_url = "{s3_server}"\n'
        f'[encryption]\nkey = "file:{tmp_path}/key"\n[clusters.slips]\ndsn = "host={tmp_path} user=nobody"\n',
        encoding="utf-8",
    )
    code, document = command(path, "storage", "setup", "--dry-run", capsys=capsys)
    assert code == 0
    assert document["repositories"][0]["rules"]["lifecycle"]["Rules"]
    assert command(path, "keys", "init", capsys=capsys)[1]["error"]["code"] == "storage-no-bucket"
    assert command(path, "storage", "setup", capsys=capsys)[0] == 0
    assert command(path, "storage", "setup", "nowhere", capsys=capsys)[0] == 2
    assert command(path, "keys", "init", capsys=capsys)[0] == 0
    _, document = command(path, "check", capsys=capsys)
    points = {point["code"]: point["level"] for point in document["points"] if point["about"] == "repository offsite"}
    assert points["write-read"] == points["keys"] == points["lifecycle-harmless"] == points["versioning"] == "ok"
    assert points["plain-http"] == "warn"
    assert "fail" not in points.values()
    with contextlib.closing(open_cloud("s3", s3_server, "prod", bucket=name)) as store:
        assert [info.path.split("/")[0] for info in store.list("")] == ["keys"], "the probe is gone"
