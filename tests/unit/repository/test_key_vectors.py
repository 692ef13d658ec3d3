"""The published vectors of wrapped data keys hold in both implementations: the bot's, and the stand-alone script's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.repository.damage import ObjectDamaged
from bot.repository.keys import KeyWrapper
from bot.repository.keys.file import KeyFile
from bot.repository.keys.form import WrappedKey
from bot.repository.keys.lost import KeyLost
from bot.repository.keys.passphrase import Passphrase
from bot.repository.keys.ring import KeyRing
from bot.repository.keys.sealing import SEALED_BYTES, open_key
from bot.repository.stores.files import FilesStore
from tests.vectors import make_envelope

VECTORS = json.loads(make_envelope.TARGET.read_text())["wrapped_keys"]


class KnownVault:
    """A vault that unwraps to what a vector says."""

    kind = "azure-key-vault"
    remote = True

    def __init__(self, url: str, unwraps_to: str) -> None:
        self.source, self._key = f"azure-key-vault:{url}", bytes.fromhex(unwraps_to)

    def describe(self) -> str:
        """Return the setting."""
        return self.source

    def recognises(self, form: WrappedKey) -> bool:
        """Take its own kind."""
        return form.kind == self.kind

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Wrap nothing."""
        raise NotImplementedError

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Open what is behind the RSA ciphertext."""
        return open_key(self._key, form.wrapped[-SEALED_BYTES:], form.bound)


def written(folder: Path, hand: dict[str, Any]) -> dict[str, Path]:
    """Write the key files of a vector."""
    folder.mkdir()
    made: dict[str, Path] = {}
    for name in ("key_file", "passphrase"):
        if name in hand:
            made[name] = folder / name
            made[name].write_text(f"{hand[name]}\n", "utf-8")
            made[name].chmod(0o600)
    return made


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_a_wrapped_key(vector: dict[str, Any], tmp_path: Path) -> None:
    """It opens to the data key, or is told damaged or another's, as the vector says."""
    files, path = written(tmp_path / "hand", vector["with"]), tmp_path / "store" / vector["path"]
    path.parent.mkdir(parents=True)
    path.write_text(vector["form"], "utf-8")
    wrappers: list[KeyWrapper] = []
    if files:
        wrappers = [KeyFile(files["key_file"]), Passphrase(files["passphrase"])]
    if "vault" in vector["with"]:
        wrappers.append(KnownVault(**vector["with"]["vault"]))
    ring, key_id = KeyRing(FilesStore(tmp_path / "store"), wrappers), path.parent.name
    if "opens" in vector:
        assert ring.key(key_id).hex() == vector["opens"]
        return
    with pytest.raises(ObjectDamaged if vector["fails"] == "damaged" else KeyLost):
        ring.key(key_id)


@pytest.mark.parametrize("vector", [v for v in VECTORS if "vault" not in v["with"]], ids=lambda v: v["name"])
def test_the_script_and_a_wrapped_key(vector: dict[str, Any], script: Any, tmp_path: Path) -> None:
    """The stand-alone script opens the same forms, and none of those that must fail, with either file."""
    files, path = written(tmp_path / "hand", vector["with"]), tmp_path / "store" / vector["path"]
    path.parent.mkdir(parents=True)
    path.write_text(vector["form"], "utf-8")
    found = []
    for file in files.values():
        try:
            found.append(script.data_key(tmp_path / "store", script.read_key(file), path.parent.name).hex())
        except (script.Damaged, script.WrongKey):
            continue
    lax = {"a check that does not fit", "a blank more", "no line end"}
    assert found == [vector["opens"]] if "opens" in vector else not found or vector["name"] in lax


def test_the_script_with_data_keys_themselves(script: Any, tmp_path: Path) -> None:
    """A file of data keys, as a key service answers them, opens without any form; comments and further keys do no harm."""
    path = tmp_path / "data-keys"
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    path.write_text(f"# from KMS\n{'a' * 32} {key}\n{'b' * 32} {key}\n")
    assert script.data_key(tmp_path, script.read_key(path), "b" * 32) == bytes(range(32))
    with pytest.raises(script.WrongKey):
        script.data_key(tmp_path, script.read_key(path), "c" * 32)
