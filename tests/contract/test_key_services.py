"""What AWS KMS and Azure Key Vault answer when something is wrong: one clear sentence each, naming the setting."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from bot.config import EncryptionConfig, RepositoryConfig
from bot.errors import PitstopError, Unavailable, Usage
from bot.model.runbook import DATA_KEYS_BY_HAND
from bot.repository.keys import KeyWrapper
from bot.repository.keys.aws_kms import AwsKms
from bot.repository.keys.azure_key_vault import AzureKeyVault
from bot.repository.keys.file import KeyFile, create_key_file
from bot.repository.keys.form import WrappedKey
from bot.repository.keys.lost import KeyAway, KeyLost
from bot.repository.keys.ring import KeyRing, new_key_id
from bot.repository.open import open_repository
from bot.repository.stores.files import FilesStore
from bot.repository.stores.patience import Patience
from tests.commands import Typed
from tests.contract.faulty import FaultyProxy, proxied
from tests.contract.servers import free_port
from tests.contract.vault import Answer, Credential, Vault, serving_vault
from tests.stand_alone import SCRIPT

QUICK = Patience(for_s=5, quick_s=0.5, first_s=0.001, most_s=0.01)
REGION = "eu-central-1"
DATA_KEY = bytes(range(32))


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A faulty proxy in front of moto, where the SDK looks for KMS."""
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", proxy.url)
        yield proxy


@pytest.fixture
def client(proxy: FaultyProxy) -> Iterator[Any]:
    """A client of KMS for what an administrator does."""
    client = boto3.client("kms", region_name=REGION)
    yield client
    client.close()


@pytest.fixture
def arn(client: Any) -> str:
    """A key in KMS."""
    return str(client.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture
def vault(environment: None, tmp_path: Path) -> Iterator[Vault]:
    """A vault with the key `pitstop`."""
    with serving_vault(tmp_path / "vault") as vault:
        vault.add("pitstop")
        yield vault


def in_vault(vault: Vault, name: str = "pitstop", credential: Credential | None = None) -> AzureKeyVault:
    """Open a key of the vault as a process does."""
    return AzureKeyVault(f"{vault.url}/keys/{name}", QUICK, credential or Credential(), **vault.options)


def refused(use: Callable[[], object], wrapper: KeyWrapper) -> PitstopError:
    """Return the error of a use, after making sure that it names the setting and says what to do."""
    with pytest.raises((Usage, Unavailable)) as caught:
        use()
    error = caught.value
    assert wrapper.source in error.message, error.message
    assert "[encryption]" in error.message
    assert error.hint
    assert DATA_KEY.hex() not in str(error)
    return error


def id_of(arn: str) -> str:
    """Return a key's id; moto does not take ARNs everywhere."""
    return arn.rsplit("/", 1)[1]


def body_of(code: str, message: str) -> dict[str, Any]:
    """Return an answer as KMS writes it."""
    body = json.dumps({"__type": code, "message": message}).encode()
    return {"status": 400, "body": body, "headers": {"Content-Type": "application/x-amz-json-1.1"}}


def test_the_wrong_kms_region(arn: str) -> None:
    """An ARN of another region: no such key there, which region was asked, and whether the region is right."""
    wrapper = AwsKms(arn.replace(REGION, "us-west-2"), QUICK)
    error = refused(lambda: wrapper.wrap(new_key_id(), DATA_KEY), wrapper)
    assert (type(error), error.reason_code) == (Usage, "kms-no-key")
    assert "us-west-2" in error.message
    assert "region" in error.hint


def test_a_disabled_kms_key_and_one_about_to_be_deleted(arn: str, client: Any) -> None:
    """Disabled: said so, with the command that enables it. Pending deletion: said so, with the one that cancels it."""
    wrapper = AwsKms(arn, QUICK)
    form = wrapper.wrap(new_key_id(), DATA_KEY)
    client.disable_key(KeyId=id_of(arn))
    for use in (lambda: wrapper.wrap(new_key_id(), DATA_KEY), lambda: wrapper.unwrap(form)):
        error = refused(use, wrapper)
        assert (type(error), error.reason_code) == (Usage, "kms-disabled")
        assert f"aws kms enable-key --region {REGION} --key-id {arn}" in error.hint
    client.enable_key(KeyId=id_of(arn))
    assert wrapper.unwrap(form) == DATA_KEY
    client.schedule_key_deletion(KeyId=id_of(arn))
    error = refused(lambda: wrapper.unwrap(form), wrapper)
    assert (type(error), error.reason_code) == (Usage, "kms-pending-deletion")
    assert "cancel-key-deletion" in error.hint


@pytest.mark.parametrize(
    ("code", "message", "ours", "needle"),
    [
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on resource: arn:… because no policy allows it",
            "kms-denied",
            "does not allow kms:Decrypt",
        ),
        ("AccessDeniedException", "", "kms-denied", "does not allow kms:Decrypt"),
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "kms-credentials",
            "expired",
        ),
        ("UnrecognizedClientException", "The security token is invalid", "kms-credentials", "invalid"),
        ("InvalidKeyUsageException", "", "kms-usage", "not one that encrypts"),
        ("KMSInvalidStateException", "arn:… is pending import.", "kms-state", "state"),
        ("ValidationException", "1 validation error detected", "kms-refused", "1 validation error"),
    ],
)
def test_what_kms_refuses(arn: str, proxy: FaultyProxy, code: str, message: str, ours: str, needle: str) -> None:
    """Each refusal as AWS documents it says which permission, credential or property it is; none is tried again."""
    wrapper = AwsKms(arn, QUICK)
    form = wrapper.wrap(new_key_id(), DATA_KEY)
    asked = proxy.count("POST")
    proxy.spoil("POST", "answer", times=9, **body_of(code, message))
    error = refused(lambda: wrapper.unwrap(form), wrapper)
    assert (type(error), error.reason_code) == (Usage, ours)
    assert needle in error.message
    assert proxy.count("POST") == asked + 1


def test_throttled_kms(arn: str, proxy: FaultyProxy) -> None:
    """Throttled twice: tried again, and it opens. Throttled for good: given up at the deadline, saying how often it was tried."""
    wrapper = AwsKms(arn, Patience(for_s=0.5, quick_s=0.5, first_s=0.001, most_s=0.05))
    form = wrapper.wrap(new_key_id(), DATA_KEY)
    proxy.spoil("POST", "answer", times=2, **body_of("ThrottlingException", "Rate exceeded"))
    assert wrapper.unwrap(form) == DATA_KEY
    proxy.spoil("POST", "answer", times=10_000, **body_of("ThrottlingException", "Rate exceeded"))
    asked = proxy.count("POST")
    error = refused(lambda: wrapper.unwrap(form), wrapper)
    assert (type(error), error.reason_code) == (Unavailable, "kms-throttled")
    assert f"It was tried {proxy.count('POST') - asked} times" in error.message
    assert proxy.count("POST") - asked > 3


@pytest.mark.parametrize("kind", ["reset", "lost", "break"])
def test_a_connection_to_kms_that_breaks(arn: str, proxy: FaultyProxy, kind: Any) -> None:
    """A request or an answer that is lost on its way is sent again."""
    wrapper = AwsKms(arn, QUICK)
    form = wrapper.wrap(new_key_id(), DATA_KEY)
    proxy.spoil("POST", kind, times=2)
    assert wrapper.unwrap(form) == DATA_KEY


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"\xff\xfe"),
        (200, b"[1]"),
        (200, b'{"Plaintext": "A", "CiphertextBlob": "A"}'),
        (403, b"<html>Forbidden by your network</html>"),
        (407, b"<html>Who are you?</html>"),
    ],
)
def test_something_else_answers_for_kms(arn: str, proxy: FaultyProxy, status: int, body: bytes) -> None:
    """A proxy or a log-in page in the place of KMS is said to be one, and is no verdict about the key, which works afterwards."""
    wrapper = AwsKms(arn, QUICK)
    form = wrapper.wrap(new_key_id(), DATA_KEY)
    proxy.spoil("", "answer", times=10_000, status=status, body=body, headers={"Content-Type": "text/html"})
    for use in (lambda: wrapper.wrap(new_key_id(), DATA_KEY), lambda: wrapper.unwrap(form)):
        error = refused(use, wrapper)
        assert (type(error), error.reason_code) == (Unavailable, "kms-stranger")
        assert "HTTPS_PROXY" in error.hint
    proxy.heal()
    assert wrapper.unwrap(form) == DATA_KEY


def test_kms_that_is_not_there(arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers: unavailable, whether the region is right and whether the host is reached; no verdict about the key."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{free_port()}")
    wrapper = AwsKms(arn, QUICK)
    error = refused(lambda: wrapper.wrap(new_key_id(), DATA_KEY), wrapper)
    assert (type(error), error.reason_code) == (Unavailable, "kms-away")


def test_no_credentials_for_kms(arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials it says where Pitstop looks for them."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    wrapper = AwsKms(arn, QUICK)
    error = refused(lambda: wrapper.wrap(new_key_id(), DATA_KEY), wrapper)
    assert (type(error), error.reason_code) == (Usage, "kms-credentials")
    assert "AWS_PROFILE" in error.hint


def test_replicas_of_a_key_are_one_key(client: Any) -> None:
    """A multi-Region key's replica in another region recognises what the first wrapped: it is the same key there."""
    here = client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    form = AwsKms(here, QUICK).wrap(new_key_id(), DATA_KEY)
    assert AwsKms(here.replace(REGION, "eu-west-1"), QUICK).recognises(form)


def test_versions_in_a_vault(vault: Vault) -> None:
    """The newest version wraps and the form names it; after the key is rotated in the vault, old forms open with their version."""
    wrapper, key_id = in_vault(vault), new_key_id()
    first = wrapper.wrap(key_id, DATA_KEY)
    vault.add("pitstop")
    second = wrapper.wrap(key_id, DATA_KEY)
    versions = [one.name for one in vault.keys["pitstop"]]
    assert [form.more["name"].rsplit("/", 1)[1] for form in (first, second)] == versions
    fresh = in_vault(vault)
    assert [fresh.unwrap(form) for form in (first, second)] == [DATA_KEY, DATA_KEY]
    vault.keys["pitstop"][0].enabled = False
    assert refused(lambda: fresh.unwrap(first), wrapper).reason_code == "vault-disabled"
    assert fresh.unwrap(second) == DATA_KEY
    moved = WrappedKey(second.key, second.kind, second.by, second.wrapped, {"name": first.more["name"]})
    vault.keys["pitstop"][0].enabled = True
    assert fresh.unwrap(moved) is None, "a form that names another version than the one that wrapped"


def test_what_a_vault_refuses(vault: Vault) -> None:
    """Denied, disabled, deleted, a token it does not take: which right, which command, and that it is not tried again."""
    wrapper = in_vault(vault)
    form = wrapper.wrap(new_key_id(), DATA_KEY)
    vault.denied.add("unwrapkey")
    denied = refused(lambda: wrapper.unwrap(form), wrapper)
    assert (type(denied), denied.reason_code) == (Usage, "vault-denied")
    assert "keys/unwrapKey" in denied.message
    vault.denied = {"get"}
    assert "keys/get" in refused(lambda: in_vault(vault).wrap(new_key_id(), DATA_KEY), wrapper).message
    vault.denied = set()
    stranger = in_vault(vault, credential=Credential("another"))
    assert refused(lambda: stranger.wrap(new_key_id(), DATA_KEY), wrapper).reason_code == "vault-credentials"
    vault.keys["pitstop"][0].enabled = False
    for use in (lambda: wrapper.unwrap(form), lambda: in_vault(vault).wrap(new_key_id(), DATA_KEY)):
        disabled = refused(use, wrapper)
        assert (type(disabled), disabled.reason_code) == (Usage, "vault-disabled")
        assert "set-attributes --enabled true" in disabled.hint
    vault.keys.clear()
    for use in (lambda: wrapper.unwrap(form), lambda: in_vault(vault).wrap(new_key_id(), DATA_KEY)):
        gone = refused(use, wrapper)
        assert (type(gone), gone.reason_code) == (Usage, "vault-no-key")
        assert "key recover" in gone.hint


def test_a_throttled_vault(vault: Vault) -> None:
    """429 and 503 pass: tried again. 429 for good: given up after the deadline, and nothing is said of the key."""
    wrapper = in_vault(vault)
    message = "Request was not processed because too many requests were received."
    throttled: Answer = (429, "Throttled", "", message, {})
    vault.answers += [throttled, (503, "ServiceUnavailable", "", "", {})]
    form = wrapper.wrap(new_key_id(), DATA_KEY)
    vault.answers += [throttled, throttled, throttled]
    assert wrapper.unwrap(form) == DATA_KEY
    vault.answers = [throttled] * 10_000
    short = AzureKeyVault(
        f"{vault.url}/keys/pitstop", Patience(for_s=0.5, first_s=0.001, most_s=0.05), Credential(), **vault.options
    )
    error = refused(lambda: short.unwrap(form), wrapper)
    assert (type(error), error.reason_code) == (Unavailable, "vault-throttled")


def test_a_vault_that_is_not_there(environment: None) -> None:
    """Nobody answers: unavailable, and whether its name is right."""
    wrapper = AzureKeyVault(f"https://127.0.0.1:{free_port()}/keys/pitstop", QUICK, Credential())
    error = refused(lambda: wrapper.wrap(new_key_id(), DATA_KEY), wrapper)
    assert (type(error), error.reason_code) == (Unavailable, "vault-away")


def test_a_vault_is_only_spoken_to_where_its_certificate_is_known(vault: Vault) -> None:
    """A server whose certificate nobody vouches for gets no request, and so no token."""
    wrapper = AzureKeyVault(f"{vault.url}/keys/pitstop", QUICK, Credential())
    assert refused(lambda: wrapper.wrap(new_key_id(), DATA_KEY), wrapper).reason_code == "vault-away"
    assert vault.requests == []


def test_what_a_ring_says_of_services(arn: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is away is no verdict while the file opens; alone it is unavailable, and disabled it is lost for now."""
    (tmp_path / "store").mkdir()
    create_key_file(tmp_path / "key")
    store, file = FilesStore(tmp_path / "store"), KeyFile(tmp_path / "key")
    key_id = KeyRing(store, [AwsKms(arn, QUICK), file]).create()
    client.disable_key(KeyId=id_of(arn))
    with pytest.raises(KeyLost) as lost:
        KeyRing(store, AwsKms(arn, QUICK)).key(key_id)
    assert lost.value.reason_code == "kms-disabled"
    assert key_id in lost.value.message
    assert KeyRing(store, [AwsKms(arn, QUICK), file]).key(key_id)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(KeyAway) as away:
        KeyRing(store, AwsKms(arn, QUICK)).key(key_id)
    assert away.value.reason_code == "kms-away"
    assert KeyRing(store, [AwsKms(arn, QUICK), file]).key(key_id)


def test_a_repository_under_three_keys(arn: str, client: Any, tmp_path: Path, typed: Typed) -> None:
    """From the configuration on: key file, passphrase and KMS are made and used together; each alone opens the repository, and
    check and list say which of them does not do its part, while the others do."""
    sources = [f"file:{tmp_path}/key", f"passphrase:{tmp_path}/passphrase", f"aws-kms:{arn}"]

    def configured(*keys: str) -> Path:
        path = tmp_path / "pitstop.toml"
        listed = ", ".join(f'"{key}"' for key in keys)
        path.write_text(
            f'ledger = "{tmp_path}/ledger.db"\nspool = "{tmp_path}/spool"\n[repositories.local]\n'
            f'url = "file://{tmp_path}/repository"\n[encryption]\nkeys = [{listed}]\n[clusters.slips]\ndsn = "host=/nowhere"\n'
        )
        return path

    made = typed("keys", "init", "--json", config=configured(*sources))
    assert [(key["kind"], key["made"]) for key in made.json["keys"]] == [
        ("file", True),
        ("passphrase", True),
        ("aws-kms", False),
    ]
    for source in sources:
        listed = typed("keys", "list", "--json", config=configured(source)).json["keys"]
        assert sorted(form["state"] for form in listed[0]["forms"]) == ["opens", "unused", "unused"]
    client.disable_key(KeyId=id_of(arn))
    (tmp_path / "key").unlink()
    checked = typed("keys", "check", "--json", config=configured(*sources))
    assert checked.code == 1
    assert [one["ok"] for one in checked.json["wrapping"]] == [False, True, False]
    codes = [one["problem"]["code"] for one in checked.json["wrapping"] if one["problem"]]
    assert codes == ["key-missing", "kms-disabled"]
    assert checked.json["lost"] == []
    assert checked.json["lacking"] == [], "which form is whose cannot be told"
    points = {
        point["about"]: point["level"]
        for point in typed("check", "--json", config=configured(*sources)).json["points"]
        if "key " in point["about"]
    }
    assert points == {f"key {sources[0]}": "warn", f"key {sources[1]}": "ok", f"key {sources[2]}": "warn"}
    rotated = typed("keys", "rotate", "--json", config=configured(*sources))
    assert (rotated.code, rotated.json["error"]["code"]) == (2, "key-missing"), "writing needs every key"
    alone = typed("keys", "list", "--json", config=configured(sources[2]))
    forms = {form["kind"]: form for form in alone.json["keys"][0]["forms"]}
    assert (alone.code, forms["aws-kms"]["state"], forms["file"]["state"]) == (0, "refused", "unused")
    assert "[encryption]" in forms["aws-kms"]["problem"]


AWS = """\
#!{python}
import argparse, base64, boto3, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("words", nargs=2)
for name in ("key-id", "ciphertext-blob", "output", "query", "region", "encryption-context"):
    parser.add_argument(f"--{{name}}", required=True)
asked = parser.parse_args()
assert (asked.words, asked.output, asked.query) == (["kms", "decrypt"], "text", "Plaintext")
answer = boto3.client("kms", region_name=asked.region).decrypt(
    KeyId=asked.key_id,
    CiphertextBlob=pathlib.Path(asked.ciphertext_blob.removeprefix("fileb://")).read_bytes(),
    EncryptionContext=dict(pair.split("=") for pair in asked.encryption_context.split(",")),
)
print(base64.b64encode(answer["Plaintext"]).decode())
"""


def test_by_hand_with_kms_alone(arn: str, tmp_path: Path) -> None:
    """Where no key is in a file, the runbook's lines ask KMS for each data key, and the stand-alone script reads with them. A
    program that takes the options of `aws kms decrypt` asks moto, since the real one is large."""
    program = tmp_path / "bin" / "aws"
    program.parent.mkdir()
    program.write_text(AWS.format(python=sys.executable))
    program.chmod(0o755)
    config = RepositoryConfig.model_validate({"url": f"file://{tmp_path}/repository"})
    encryption = EncryptionConfig(key=f"aws-kms:{arn}")
    for number in range(2):
        opened = open_repository("local", config, encryption, create=True)
        opened.put_body(f"slips/{number}", b"content %d" % number)
        opened.keys.create()
    lines = [
        "set -euo pipefail",
        f"REPOSITORY={tmp_path}/repository WORK={tmp_path} KEY={tmp_path}/data-keys",
        *DATA_KEYS_BY_HAND,
    ]
    path = f"{program.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash"], input="\n".join(lines), text=True, capture_output=True, check=False, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "data-keys").stat().st_mode) == 0o600
    for number in range(2):
        words = [str(tmp_path / "data-keys"), f"{tmp_path}/repository", "cat", f"slips/{number}"]
        read = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, check=True)
        assert read.stdout == b"content %d" % number
