"""Lifecycle rules: ours spare what they must, and everybody else's are judged by what they can reach."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.repository.layout import kind_of
from bot.repository.stores.lifecycle import (
    KIND_TAG,
    LEFT,
    WINDOW_TAG,
    azure_policy,
    check_may_leave,
    harms,
    merged,
    missing,
    s3_rules,
)

SYSTEM = "slips/7300000000000000001"
BACKUP = f"{SYSTEM}/backups/20261122T020000Z-base-7f3a"
VOLUMES = f"{SYSTEM}/volumes/20261122T020000Z-base-7f3a"
KINDS = {
    f"{VOLUMES}/base/000000": "volume",
    f"{VOLUMES}/16394/000012": "volume",
    f"{VOLUMES}/backup_manifest/000000": "volume",
    f"{BACKUP}/manifest": "record",
    f"{BACKUP}/summary": "record",
    f"{VOLUMES}/base/index": "record",
    f"{BACKUP}/events/20261122T020000.000000Z-pinned": "record",
    f"{BACKUP}/events/000000": "record",
    f"{BACKUP}/base/000000": "record",
    f"{SYSTEM}/cluster.json": "record",
    f"{SYSTEM}/wal/00000001/000000010000000000000001": "wal",
    f"{SYSTEM}/wal/00000002/00000002.history": "record",
    f"{SYSTEM}/wal/00000001/000000010000000000000001.partial/00000000-00001000": "partial",
    f"{SYSTEM}/maps/0-3000060": "record",
    f"{SYSTEM}/index/000000010000000000000001": "record",
    "keys/0193/1": "record",
    "keys/wal/volumes/x/y/000000": "record",
    "check/00ff": "probe",
    "slips/runbook/20261122T020000Z.md": "record",
}


def rule(**more: Any) -> dict[str, Any]:
    """Return a live rule that deletes after a year."""
    return {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 365}, **more}


@pytest.mark.parametrize(("path", "kind"), KINDS.items())
def test_kinds(path: str, kind: str) -> None:
    """Only volumes, whole segments, partial pieces and probes are not records."""
    assert kind_of(path) == kind


@pytest.mark.parametrize("path", [path for path, kind in KINDS.items() if kind not in {"volume", "wal"}])
def test_records_never_leave(path: str) -> None:
    """What is not a volume or a segment can never be given the tag that our rules act on."""
    with pytest.raises(ValueError, match="no rule of the storage may touch it"):
        check_may_leave(path)


@given(prefix=st.sampled_from(["", "prod", "a/b"]), tags=st.booleans(), archive=st.booleans())
def test_our_rules_are_harmless(prefix: str, tags: bool, archive: bool) -> None:
    """By the judgement that everybody's rules get, ours do no harm; each that deletes or archives asks for one of our tags."""
    rules = s3_rules(prefix, tags=tags, archive=archive)
    assert harms(rules, prefix) == []
    for one in rules:
        asked = {tag["Key"] for tag in one["Filter"].get("And", {}).get("Tags", [])}
        if {"Expiration", "Transitions"} & set(one):
            assert asked == {WINDOW_TAG}
        elif "NoncurrentVersionExpiration" in one:
            assert asked == {KIND_TAG}
        assert one["Filter"].get("Prefix", one["Filter"].get("And", {}).get("Prefix")) == (
            f"{prefix}/" if prefix else ""
        )


HARMFUL = {
    "the strategy's own": rule(Transitions=[{"Days": 30, "StorageClass": "GLACIER"}]),
    "the old way to write a prefix": {k: v for k, v in rule(Prefix="").items() if k != "Filter"},
    "on our prefix": rule(Filter={"Prefix": "prod/"}),
    "below our prefix": rule(Filter={"Prefix": "prod/slips/7300000000000000001/wal/"}),
    "volumes by their own prefix": rule(Filter={"Prefix": "prod/slips/7300000000000000001/volumes/"}),
    "above our prefix": rule(Filter={"Prefix": "pr"}),
    "by a date": rule(Expiration={"Date": "2027-01-01"}),
    "large objects": rule(Filter={"And": {"Prefix": "", "ObjectSizeGreaterThan": 1000}}),
    "another's tag": rule(Filter={"Tag": {"Key": "temporary", "Value": "yes"}}),
    "all volumes by age": rule(Filter={"Tag": {"Key": KIND_TAG, "Value": "volume"}}),
    "deep archive": rule(Expiration={}, Transitions=[{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}]),
    "old versions of all": rule(Expiration={}, NoncurrentVersionExpiration={"NoncurrentDays": 1}),
}
HARMLESS = {
    "switched off": rule(Status="Disabled"),
    "another prefix": rule(Filter={"Prefix": "logs/"}),
    "a prefix that begins like ours": rule(Filter={"Prefix": "production/"}),
    "what has left the window": rule(Filter={"Tag": {"Key": WINDOW_TAG, "Value": LEFT}}),
    "a class that is read at once": rule(Expiration={}, Transitions=[{"Days": 30, "StorageClass": "STANDARD_IA"}]),
    "unfinished uploads": rule(Expiration={}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
    "delete markers of nothing": rule(Expiration={"ExpiredObjectDeleteMarker": True}),
}


@pytest.mark.parametrize("live", HARMFUL.values(), ids=list(HARMFUL))
def test_harmful_rules(live: dict[str, Any]) -> None:
    """A rule that can delete or put to sleep what retention has not released is found, and named."""
    assert {harm.rule for harm in harms([live], "prod")} == {"theirs"}


@pytest.mark.parametrize("live", HARMLESS.values(), ids=list(HARMLESS))
def test_harmless_rules(live: dict[str, Any]) -> None:
    """A rule that cannot is left in peace."""
    assert harms([live], "prod") == []


def test_others_rules_stay() -> None:
    """Writing ours keeps everybody else's, replaces an older form of ours, and is then seen to be there."""
    ours = s3_rules("prod")
    old = {**ours[0], "Expiration": {"Days": 1}}
    theirs = rule(Filter={"Prefix": "logs/"})
    assert missing([theirs, old], ours) == [one["ID"] for one in ours]
    written = merged([theirs, old], ours)
    assert written == [theirs, *ours]
    assert missing(written, ours) == []


def test_azure_asks_for_the_tag() -> None:
    """Azure's rule reaches our prefix alone, and there what carries the tag."""
    [only] = azure_policy("backups", "prod")["rules"]
    assert only["definition"]["filters"]["prefixMatch"] == ["backups/prod/"]
    assert only["definition"]["filters"]["blobIndexMatch"] == [{"name": WINDOW_TAG, "op": "==", "value": LEFT}]
