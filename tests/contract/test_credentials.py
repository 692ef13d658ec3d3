"""Credentials by the SDKs' own chains: each place where other tools look is where Pitstop finds them, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from tests.contract.faulty import FaultyProxy, proxied
from tests.contract.servers import ACCOUNT, ACCOUNT_KEY

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import secrets, sys
from tests.contract.conftest import open_cloud
store = open_cloud(sys.argv[1], sys.argv[2], secrets.token_hex(6))
store.put("a/b", [b"content"])
assert store.read("a/b") == b"content" and store.children("a") == ["b"]
store.close()
"""
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds").replace("+00:00", "Z")


def use(kind: str, endpoint: str, more: Mapping[str, str]) -> None:
    """Write, read and list in a process whose environment has no credentials but `more`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "AZURE_"))}
    argv = [sys.executable, "-c", PROGRAM, kind, endpoint]
    done = subprocess.run(
        argv, env={**kept, **more}, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def signed_by(proxy: FaultyProxy) -> set[str]:
    """Return the access keys that requests were signed with."""
    signed = [headers["authorization"] for headers in proxy.headers if "authorization" in headers]
    return {one.partition("Credential=")[2].partition("/")[0] for one in signed}


class Role(BaseHTTPRequestHandler):
    """What a container's role is asked of on its host."""

    def do_GET(self) -> None:
        """Answer with credentials that expire."""
        told = {"AccessKeyId": "CONTAINERKEY", "SecretAccessKey": "s", "Token": "t", "Expiration": SOON}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def container_role() -> Iterator[str]:
    """Serve a container's role; yield where."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Role) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/role"
        server.shutdown()
        thread.join()


@pytest.fixture
def places(tmp_path: Path, s3_server: str) -> dict[str, dict[str, str]]:
    """The environment for each place of AWS's chain, with the files it names; keys differ, so that one sees which was used."""
    program = tmp_path / "credentials-program"
    told = {"Version": 1, "AccessKeyId": "PROGRAMKEY", "SecretAccessKey": "s"}
    program.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    program.chmod(0o700)
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = DEFAULTKEY\naws_secret_access_key = s\n"
        "[backups]\naws_access_key_id = PROFILEKEY\naws_secret_access_key = s\n"
    )
    (tmp_path / "config").write_text(
        f"[profile program]\ncredential_process = {program}\n"
        "[profile assumed]\nrole_arn = arn:aws:iam::123456789012:role/pitstop\nsource_profile = backups\nregion = us-east-1\n"
    )
    files = {
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {
        "DEFAULTKEY": files,
        "PROFILEKEY": files | {"AWS_PROFILE": "backups"},
        "PROGRAMKEY": files | {"AWS_PROFILE": "program"},
        "ASSUMED": files | {"AWS_PROFILE": "assumed", "AWS_ENDPOINT_URL_STS": s3_server},
        "ENVIRONMENTKEY": files | {"AWS_ACCESS_KEY_ID": "ENVIRONMENTKEY", "AWS_SECRET_ACCESS_KEY": "s"},
    }


@pytest.mark.parametrize("key", ["DEFAULTKEY", "PROFILEKEY", "PROGRAMKEY", "ASSUMED", "ENVIRONMENTKEY"])
def test_where_aws_tools_look(s3_server: str, places: dict[str, dict[str, str]], key: str) -> None:
    """Files, a profile, a program, a role that is assumed, the environment: every request is signed with what lies there."""
    with proxied(s3_server) as proxy:
        use("s3", proxy.url, places[key])
        [used] = signed_by(proxy)
        assert used.startswith("ASIA") if key == "ASSUMED" else used == key


def test_the_role_of_a_container(s3_server: str, tmp_path: Path) -> None:
    """Where nothing is configured, the role that the host gives a container is asked for."""
    nowhere = {
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with proxied(s3_server) as proxy, container_role() as role:
        use("s3", proxy.url, nowhere | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": role})
        assert signed_by(proxy) == {"CONTAINERKEY"}


def test_a_signature_of_azure(azure_server: str) -> None:
    """A shared access signature instead of the account's key."""
    allowed = ContainerSasPermissions(read=True, write=True, delete=True, list=True, create=True)
    later = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_container_sas(ACCOUNT, "backups", account_key=ACCOUNT_KEY, permission=allowed, expiry=later)
    with proxied(azure_server) as proxy:
        use("azure", proxy.url, {"AZURE_STORAGE_SAS_TOKEN": sas})
        assert proxy.requests
        assert all("sig=" in request for request in proxy.requests)
