"""The contract of everything that wraps data keys: a new kind is added to `KINDS` and passes the same suite."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from bot.errors import PitstopError
from bot.repository.keys import KeyWrapper
from bot.repository.keys.aws_kms import AwsKms
from bot.repository.keys.azure_key_vault import AzureKeyVault
from bot.repository.keys.configured import problem_of
from bot.repository.keys.file import KeyFile, create_key_file
from bot.repository.keys.form import decode, encode
from bot.repository.keys.passphrase import Costs, Passphrase, create_passphrase_file
from bot.repository.keys.ring import KeyRing, new_key_id
from bot.repository.layout import key_folder
from bot.repository.stores.files import FilesStore
from bot.repository.stores.patience import Patience
from tests.contract.vault import Credential, Vault, serving_vault

KINDS = ("file", "passphrase", "aws-kms", "azure-key-vault")
QUICK = Patience(for_s=5, quick_s=1, first_s=0.001, most_s=0.01)
CHEAP = Costs(n=2**4, r=8, p=1)
REGION = "eu-central-1"


@dataclass
class Keys:
    """Two keys of one kind: `ours` opens the first as another process would, `other` the second, `away` one that is not there."""

    kind: str
    ours: Callable[[], KeyWrapper]
    other: Callable[[], KeyWrapper]
    away: Callable[[], KeyWrapper]


@pytest.fixture(scope="module")
def vault(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A key vault with two keys."""
    with serving_vault(tmp_path_factory.mktemp("vault")) as vault:
        vault.add("ours")
        vault.add("other")
        yield vault


@pytest.fixture
def kms_key(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Make a key in moto's KMS and return its ARN; the SDK finds the server by its own variable."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", s3_server)

    def make() -> str:
        client = boto3.client("kms", region_name=REGION)
        try:
            return cast(str, client.create_key()["KeyMetadata"]["Arn"])
        finally:
            client.close()

    return make


@pytest.fixture(params=KINDS)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Keys:
    """Two keys of each kind."""
    kind = cast(str, request.param)
    first, second, missing = tmp_path / "first", tmp_path / "second", tmp_path / "missing"
    match kind:
        case "file":
            create_key_file(first)
            create_key_file(second)
            return Keys(kind, lambda: KeyFile(first), lambda: KeyFile(second), lambda: KeyFile(missing))
        case "passphrase":
            create_passphrase_file(first)
            create_passphrase_file(second)
            return Keys(
                kind,
                lambda: Passphrase(first, CHEAP),
                lambda: Passphrase(second, CHEAP),
                lambda: Passphrase(missing, CHEAP),
            )
        case "aws-kms":
            make = request.getfixturevalue("kms_key")
            ours, other = make(), make()
            gone = ours.rsplit("/", 1)[0] + "/00000000-0000-0000-0000-000000000000"
            return Keys(kind, lambda: AwsKms(ours, QUICK), lambda: AwsKms(other, QUICK), lambda: AwsKms(gone, QUICK))
        case _:
            held = request.getfixturevalue("vault")
            return Keys(kind, *(_in_vault(held, name) for name in ("ours", "other", "gone")))


def _in_vault(vault: Vault, name: str) -> Callable[[], KeyWrapper]:
    def make(**more: Any) -> KeyWrapper:
        return AzureKeyVault(f"{vault.url}/keys/{name}", QUICK, Credential(), **vault.options)

    return make


def test_it_opens_what_it_wrapped(keys: Keys) -> None:
    """Another process opens the form after it was stored; two forms of one data key differ, and neither shows it."""
    key_id, data_key = new_key_id(), secrets.token_bytes(32)
    forms = [keys.ours().wrap(key_id, data_key) for _ in range(2)]
    assert forms[0].wrapped != forms[1].wrapped
    for form in forms:
        stored = encode(form)
        assert data_key.hex() not in stored.hex()
        read = decode(stored, f"{key_folder(key_id)}/1")
        assert (read, read.kind, read.key) == (form, keys.kind, key_id)
        ours = keys.ours()
        assert ours.recognises(read)
        assert ours.unwrap(read) == data_key
    assert problem_of(keys.ours()) is None


def test_it_does_not_take_what_another_key_wrapped(keys: Keys) -> None:
    """A form of another key is not recognised; forced on it, it gives nothing."""
    form = keys.other().wrap(new_key_id(), secrets.token_bytes(32))
    ours = keys.ours()
    assert not ours.recognises(form)
    if keys.kind != "azure-key-vault":  # the vault would be asked for a version that it names otherwise
        assert ours.unwrap(form) is None


@pytest.mark.parametrize("changed", ["key", "kind", "by"])
def test_a_form_opens_as_what_it_is_bound_to_alone(keys: Keys, changed: str) -> None:
    """Passed off as another data key's, another kind's or another wrapping key's, a form opens nothing."""
    form = keys.ours().wrap(new_key_id(), secrets.token_bytes(32))
    others = {
        "key": replace(form, key=new_key_id()),
        "kind": replace(form, kind="another"),
        "by": replace(form, by="0" * 16),
    }
    forged = others[changed]
    ours = keys.ours()
    assert (changed == "key") == ours.recognises(forged)
    assert ours.unwrap(forged) is None


def test_an_altered_form_opens_nothing(keys: Keys) -> None:
    """A bit flipped anywhere in the wrapped bytes, or an end cut off, and it gives no key rather than a wrong one."""
    form, ours = keys.ours().wrap(new_key_id(), secrets.token_bytes(32)), keys.ours()
    size = len(form.wrapped)
    places = range(size * 8) if keys.kind in {"file", "passphrase"} else [*range(0, size * 8, size // 3), size * 8 - 1]
    for bit in places:
        altered = bytearray(form.wrapped)
        altered[bit // 8] ^= 1 << bit % 8
        assert ours.unwrap(replace(form, wrapped=bytes(altered))) is None, bit
    for end in (0, 1, size // 2, size - 1):
        assert ours.unwrap(replace(form, wrapped=form.wrapped[:end])) is None, end


def test_nothing_is_asked_before_it_is_needed(keys: Keys) -> None:
    """A key that is not there can be made and described; only using it is an error, which names the setting."""
    form = keys.ours().wrap(new_key_id(), secrets.token_bytes(32))
    away = keys.away()
    assert away.kind == keys.kind
    assert away.source.startswith(f"{keys.kind}:")
    assert away.describe()
    with pytest.raises(PitstopError) as caught:
        away.wrap(new_key_id(), bytes(32))
    assert caught.value.hint
    assert away.source.partition(":")[2] in caught.value.message
    problem = problem_of(away)
    assert problem is not None
    assert problem.reason_code == caught.value.reason_code
    if away.remote:
        assert not away.recognises(form), "without asking anybody"


def test_threads_share_it(keys: Keys) -> None:
    """Several threads wrap and open at once with one wrapper."""
    ours, data_keys = keys.ours(), [secrets.token_bytes(32) for _ in range(8)]

    def turn(data_key: bytes) -> bool:
        return ours.unwrap(ours.wrap(new_key_id(), data_key)) == data_key

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(turn, data_keys))


def test_it_carries_a_ring_alone(keys: Keys, tmp_path: Path) -> None:
    """Beside a key file that is lost afterwards it opens every data key; where it is away and the file is there, nobody asks it."""
    (tmp_path / "store").mkdir()
    store, lost = FilesStore(tmp_path / "store"), tmp_path / "lost"
    create_key_file(lost)
    ring = KeyRing(store, [keys.ours(), KeyFile(lost)])
    made = [ring.create(), ring.create()]
    opened = [ring.key(key_id) for key_id in made]
    assert [len(ring.forms(key_id)) for key_id in made] == [2, 2]
    assert [KeyRing(store, [keys.away(), KeyFile(lost)]).key(key_id) for key_id in made] == opened
    lost.rename(tmp_path / "elsewhere")
    assert [KeyRing(store, [keys.ours(), KeyFile(lost)]).key(key_id) for key_id in made] == opened
