"""The published vectors: the envelope and the stand-alone script agree with them, also on what must fail and where."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bot.errors import Usage
from bot.repository.damage import ObjectDamaged
from bot.repository.envelope import unseal
from tests.vectors import make_envelope
from tests.vectors.envelope_objects import build

DOCUMENT = json.loads(make_envelope.TARGET.read_text())
VECTORS = DOCUMENT["vectors"]


def data_key(vector: dict[str, Any], key_id: str) -> bytes:
    """Return the key a vector is read with."""
    keys = vector.get("read_with", DOCUMENT["data_keys"])
    if key_id not in keys:
        raise Usage(f"no key {key_id}", code="unknown-data-key")
    return bytes.fromhex(keys[key_id])


def test_the_file_is_what_the_script_makes() -> None:
    """The committed vectors are exactly what their maker writes today: the format did not change unnoticed."""
    assert make_envelope.TARGET.read_text() == make_envelope.document()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_vector(vector: dict[str, Any], script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object is the published one; it opens to the content, or fails where the vector says, in both implementations."""
    data = build(vector, DOCUMENT["data_keys"])
    assert hashlib.sha256(data).hexdigest() == vector["object_sha256"]
    path = vector.get("read_as", vector["path"])
    target = tmp_path / path
    target.parent.mkdir(parents=True)
    target.write_bytes(data)
    monkeypatch.setattr(script, "data_key", lambda _repository, _key, key_id: data_key(vector, key_id))
    if "fails" in vector:
        with pytest.raises(script.Damaged if vector["fails"]["at"] != "key" else Usage):
            list(script.unseal(tmp_path, b"", path))
        check_failure(vector, data, path)
        return
    for opened in (read(vector, data, path), b"".join(script.unseal(tmp_path, b"", path))):
        assert hashlib.sha256(opened).hexdigest() == vector["content_sha256"]


def read(vector: dict[str, Any], data: bytes, path: str) -> bytes:
    """Open the object with the bot's envelope."""
    return b"".join(unseal([data], path=path, key_of=lambda key_id: data_key(vector, key_id)))


def check_failure(vector: dict[str, Any], data: bytes, path: str) -> None:
    """Prove that the envelope fails where and as the vector says."""
    fails = vector["fails"]
    with pytest.raises(Usage if fails["at"] == "key" else ObjectDamaged) as caught:
        read(vector, data, path)
    if isinstance(caught.value, ObjectDamaged):
        assert caught.value.path == path
        assert caught.value.chunk == fails.get("chunk")
        assert fails.get("says", "") in caught.value.message
