"""What a bucket's lifecycle may do to a repository: Pitstop's own rules, and a judgement of everybody else's. Pure.

Rules see names and tags only. What decides whether a backup may be aged is Pitstop's retention, so the bulk it has released
carries a tag, and Pitstop's rules ask for that tag; a rule that does not would take what backups still need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.repository.layout import ObjectKind, kind_of

KIND_TAG = "pitstop-kind"
WINDOW_TAG = "pitstop-window"
LEFT = "left"
_BULK = ("volume", "wal", "partial")
ARCHIVE_DAYS = 30
EXPIRE_DAYS = 365
OLD_VERSION_DAYS = 30
UPLOAD_DAYS = 7
_ASLEEP = {"GLACIER", "DEEP_ARCHIVE"}

Rule = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Harm:
    """What a rule of the bucket does that it must not: `rule` is its id, `does` a clause."""

    rule: str
    does: str


def check_may_leave(path: str) -> ObjectKind:
    """Return the kind of an object that may be marked as out of the recovery window.

    Raises:
        ValueError: it is a record: a key, a manifest, cluster.json, a map.
    """
    kind = kind_of(path)
    if kind not in {"volume", "wal"}:
        raise ValueError(f"{path} is not a volume or a WAL segment; no rule of the storage may touch it")
    return kind


def s3_rules(prefix: str, *, tags: bool = True, archive: bool = True) -> list[dict[str, Any]]:
    """Return Pitstop's rules for a bucket, as S3 takes them; `archive` where the server has Glacier.

    What has left the recovery window goes to Glacier 30 days after it was written and ends after 365; deleted volumes and WAL
    are kept as older versions for 30 days; uploads in parts that nobody finished end after 7. Keys, manifests and all other
    records carry none of the tags, so no rule reaches them, not even their older versions.
    """
    before = f"{prefix}/" if prefix else ""
    name = f"pitstop-{prefix.replace('/', '-')}-" if prefix else "pitstop-"
    rules: list[dict[str, Any]] = [
        {
            "ID": f"{name}uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": before},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
        }
    ]
    if not tags:
        return rules
    aged: dict[str, Any] = {
        "ID": f"{name}left-window",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": before, "Tags": [{"Key": WINDOW_TAG, "Value": LEFT}]}},
        "Expiration": {"Days": EXPIRE_DAYS},
    }
    if archive:
        aged["Transitions"] = [{"Days": ARCHIVE_DAYS, "StorageClass": "GLACIER"}]
    deleted = [
        {
            "ID": f"{name}deleted-{kind}",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": before, "Tags": [{"Key": KIND_TAG, "Value": kind}]}},
            "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_VERSION_DAYS},
        }
        for kind in _BULK
    ]
    return [aged, *deleted, *rules]


def merged(live: Iterable[Rule], ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules to write: everybody else's as they are, and ours in the place of ours."""
    ids = {rule["ID"] for rule in ours}
    return [dict(rule) for rule in live if rule.get("ID") not in ids] + ours


def missing(live: Iterable[Rule], ours: list[dict[str, Any]]) -> list[str]:
    """Return the ids of our rules that are not live, or not as they should be."""
    found = {rule.get("ID"): _plain(rule) for rule in live}
    return [rule["ID"] for rule in ours if found.get(rule["ID"]) != _plain(rule)]


def harms(live: Iterable[Rule], prefix: str) -> list[Harm]:
    """Return what live rules do to this repository that they must not: end or put to sleep what retention has not released."""
    return [harm for rule in live if rule.get("Status") == "Enabled" for harm in _harms_of(rule, prefix)]


def _harms_of(rule: Rule, prefix: str) -> Iterator[Harm]:
    name = str(rule.get("ID") or "(without a name)")
    reached, tags = _filter(rule)
    before = f"{prefix}/" if prefix else ""
    if not (reached.startswith(before) or before.startswith(reached)):
        return
    if tags.get(WINDOW_TAG) == LEFT:
        return
    bulk = tags.get(KIND_TAG) in _BULK
    what = "volumes and WAL that backups still need" if bulk else "keys, manifests and backups"
    expiration = rule.get("Expiration", {})
    if "Days" in expiration or "Date" in expiration:
        yield Harm(name, f"deletes {what} by age")
    asleep = {t.get("StorageClass") for t in rule.get("Transitions", ())} & _ASLEEP
    if asleep:
        yield Harm(
            name, f"moves {what} to {' and '.join(sorted(map(str, asleep)))}, where they cannot be read for hours"
        )
    if "NoncurrentVersionExpiration" in rule and not bulk:
        yield Harm(name, "deletes the older versions of keys and manifests, which are what is left after a mistake")


def _filter(rule: Rule) -> tuple[str, dict[str, str]]:
    """Return the prefix and the tags a rule asks for, however it writes them."""
    chosen = rule.get("Filter") or {}
    both = chosen.get("And", {})
    tags = list(both.get("Tags", ()))
    if "Tag" in chosen:
        tags.append(chosen["Tag"])
    prefix = rule.get("Prefix") or chosen.get("Prefix") or both.get("Prefix") or ""
    return prefix, {str(tag["Key"]): str(tag["Value"]) for tag in tags}


def _plain(value: Any) -> Any:
    """Return a rule without what servers add or leave out: empty values."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in sorted(value.items()) if inner not in ("", [], {}, None)}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def azure_policy(container: str, prefix: str) -> dict[str, Any]:
    """Return Pitstop's rule for a storage account's lifecycle policy, as Azure takes it."""
    return {
        "rules": [
            {
                "enabled": True,
                "name": "pitstop-left-window",
                "type": "Lifecycle",
                "definition": {
                    "filters": {
                        "blobTypes": ["blockBlob"],
                        "prefixMatch": [f"{container}/{prefix}/" if prefix else f"{container}/"],
                        "blobIndexMatch": [{"name": WINDOW_TAG, "op": "==", "value": LEFT}],
                    },
                    "actions": {
                        "baseBlob": {
                            "tierToArchive": {"daysAfterModificationGreaterThan": ARCHIVE_DAYS},
                            "delete": {"daysAfterModificationGreaterThan": EXPIRE_DAYS},
                        }
                    },
                },
            }
        ]
    }
