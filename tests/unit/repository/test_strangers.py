"""A configured key that is not the one which made the forms of its kind is told, and nothing is wrapped with it unasked."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from bot.config import EncryptionConfig
from bot.errors import Usage
from bot.repository.codec import Codec
from bot.repository.keys import configured
from bot.repository.keys.aws_kms import AwsKms
from bot.repository.keys.configured import configured_wrappers
from bot.repository.keys.file import create_key_file
from bot.repository.keys.form import WrappedKey, encode
from bot.repository.keys.passphrase import Costs, Passphrase, create_passphrase_file
from bot.repository.keys.ring import KeyRing
from bot.repository.keys.strangers import require_same, strangers
from bot.repository.repository import Repository
from bot.repository.rotation import Rotation, rotate
from bot.repository.stores.files import FilesStore

CHEAP = Costs(n=2**10, p=1)
ARN = "arn:aws:kms:eu-central-1:123456789012:key/"


def ring(home: Path, *sources: str) -> KeyRing:
    """Open the data keys with these keys: `file:NAME`, `passphrase:NAME` in `home`, or a service's."""
    wrapping = [
        f"{one.partition(':')[0]}:{home}/{one.partition(':')[2]}" if "arn" not in one else one for one in sources
    ]
    return KeyRing(FilesStore(home / "repository"), configured_wrappers(EncryptionConfig(keys=tuple(wrapping))))


def rotated(home: Path, *sources: str, changed: bool = False, drop: bool = False) -> Rotation:
    """Wrap anew with these keys."""
    keys = ring(home, *sources)
    repository = Repository("local", keys.store, keys, Codec("zstd", 1))
    return rotate(
        repository, rewrap_only=True, drop_unused=drop, key_changed=changed, go_on_with=None, begin=lambda _: None
    )


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new forms cost little: what is tested here does not depend on it."""
    monkeypatch.setattr(configured, "Passphrase", partial(Passphrase, costs=CHEAP))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two data keys under a key file and a passphrase, with another of each beside."""
    (tmp_path / "repository").mkdir()
    for name in ("key", "other-key"):
        create_key_file(tmp_path / name)
    for name in ("phrase", "typo"):
        create_passphrase_file(tmp_path / name)
    for _ in range(2):
        ring(tmp_path, "file:key", "passphrase:phrase").create()
    return tmp_path


def test_the_keys_that_made_the_forms_are_none(home: Path) -> None:
    """The same, one of them alone, a kind that has no form yet, and a second one beside the first are all as they ought to be."""
    for sources in (
        ("file:key", "passphrase:phrase"),
        ("passphrase:phrase",),
        ("file:key", f"aws-kms:{ARN}1"),
        ("file:key", "passphrase:phrase", "file:other-key"),
    ):
        assert strangers(ring(home, *sources)) == {}


def test_a_passphrase_with_a_typo(home: Path) -> None:
    """It is told with the forms that another one made; nothing is wrapped with it or dropped until it is said to be meant."""
    wrong = ("file:key", "passphrase:typo")
    keys = ring(home, *wrong)
    assert strangers(keys) == {f"passphrase:{home}/typo": [f"keys/{key_id}/2" for key_id in keys.ids()]}
    before = sorted((home / "repository").rglob("*"))
    with pytest.raises(Usage) as caught:
        rotated(home, *wrong, drop=True)
    assert caught.value.reason_code == "key-changed"
    assert "is not the passphrase that made these forms in repository local: keys/" in caught.value.message
    assert "Mistyped?" in caught.value.hint
    assert "pitstop keys rotate --key-changed" in caught.value.hint
    assert sorted((home / "repository").rglob("*")) == before
    meant = rotated(home, *wrong, changed=True)
    assert (len(meant.added), len(meant.unused), meant.proof.problems) == (2, 2, [])
    assert strangers(ring(home, *wrong)) == {}
    assert ring(home, "passphrase:phrase").current(), "what it made is there until it is dropped"


def test_a_typo_that_a_newer_data_key_has_is_still_told(home: Path) -> None:
    """One data key wrapped with the typo, as a repository begun with it brings along, does not make it the right one."""
    ring(home, "file:key", "passphrase:typo").create()
    first, second, _ = ring(home, "file:key").ids()
    assert strangers(ring(home, "file:key", "passphrase:typo")) == {
        f"passphrase:{home}/typo": [f"keys/{first}/2", f"keys/{second}/2"]
    }


def test_a_wrong_key_file(home: Path) -> None:
    """Another key file than the one that made the forms is told as that, beside a passphrase that opens them."""
    with pytest.raises(Usage) as caught:
        require_same(ring(home, "passphrase:phrase", "file:other-key"), "local")
    assert "is not the key file that made these forms in repository local: keys/" in caught.value.message
    assert "and 1 more" in caught.value.message


def test_another_key_of_a_service(home: Path) -> None:
    """Another ARN is told without asking the service."""
    keys = ring(home, "file:key", f"aws-kms:{ARN}1")
    key_id = keys.ids()[0]
    form = WrappedKey(key_id, "aws-kms", AwsKms(f"{ARN}1").id, b"wrapped", {"name": f"{ARN}1"})
    keys.store.put(f"keys/{key_id}/3", [encode(form)])
    assert strangers(keys) == {}
    assert strangers(ring(home, "file:key", f"aws-kms:{ARN}2")) == {f"aws-kms:{ARN}2": [f"keys/{key_id}/3"]}


def test_what_cannot_be_told_is_not(home: Path) -> None:
    """A passphrase whose file is missing is told where it is looked at, and not taken for another one."""
    assert strangers(ring(home, "file:key", "passphrase:gone")) == {}


def test_a_lost_data_key_is_nobody_elses(home: Path) -> None:
    """Where nothing opens a data key, a key that made other forms is itself; one that made none is told."""
    ring(home, "file:other-key").create()
    assert strangers(ring(home, "file:other-key")) == {}
    assert list(strangers(ring(home, "passphrase:typo"))) == [f"passphrase:{home}/typo"]


def test_what_cannot_be_wrapped_anew_is_not_offered_to_be(home: Path) -> None:
    """Where no key opens the newest data key, `--key-changed` would be refused: what is needed first is said in its place."""
    for sources in (("passphrase:typo",), ("file:other-key", "passphrase:typo")):
        with pytest.raises(Usage) as caught:
            require_same(ring(home, *sources), "local")
        assert "--key-changed" not in caught.value.hint
        assert "Put one that opens the newest data key beside it" in caught.value.hint
    ring(home, "file:other-key").create()
    with pytest.raises(Usage) as caught:
        require_same(ring(home, "file:key", "passphrase:typo"), "local")
    assert "--key-changed" not in caught.value.hint, "an older one that opens is not enough"
