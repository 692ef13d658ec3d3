"""Every store, one after the other: a new kind of store is added here and passes the same suite."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from bot.config import RepositoryConfig
from bot.repository.stores import Store
from bot.repository.stores.azure import Azure
from bot.repository.stores.cloud import CloudStore
from bot.repository.stores.files import FilesStore
from bot.repository.stores.patience import Patience
from bot.repository.stores.s3 import S3
from tests.commands import typed
from tests.contract.faulty import FaultyProxy, proxied
from tests.contract.servers import ACCOUNT, ACCOUNT_KEY, azurite, moto

__all__ = ["typed"]

IMPATIENT = Patience(for_s=20, quick_s=1, first_s=0.001, most_s=0.01)
"""Tries again as often as ever, but does not wait long in between."""
PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes as a part that is not the last."""
KINDS = ("files", "s3", "azure")
CLOUDS = ("s3", "azure")

Open = Callable[[Path], Store]
OpenCloud = Callable[..., CloudStore]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Credentials that open the stand-ins alone; none of the machine's own are ever used."""
    wanted = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AZURE_STORAGE_KEY": ACCOUNT_KEY,
        "NO_PROXY": "127.0.0.1",
    }
    before = {name: os.environ.get(name) for name in (*wanted, "AWS_PROFILE", "AWS_SESSION_TOKEN")}
    for name in before:
        os.environ.pop(name, None)
    os.environ.update(wanted)
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="session")
def s3_server(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto's server, with a bucket."""
    with moto(tmp_path_factory.mktemp("moto")) as url:
        cloud = S3("offsite", s3_config(url))
        cloud.call("create_bucket", None)
        cloud.close()
        yield url


@pytest.fixture(scope="session")
def azure_server(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Azurite, with a container."""
    with azurite(tmp_path_factory.mktemp("azurite")) as url:
        cloud = Azure("offsite", azure_config(url))
        cloud.create_container()
        cloud.close()
        yield url


def s3_config(endpoint: str, prefix: str = "tests", bucket: str = "backups", **more: Any) -> RepositoryConfig:
    """Return the configuration of a repository in a bucket of moto's."""
    return RepositoryConfig.model_validate({"url": f"s3://{bucket}/{prefix}", "endpoint_url": endpoint, **more})


def azure_config(endpoint: str, prefix: str = "tests", **more: Any) -> RepositoryConfig:
    """Return the configuration of a repository in Azurite's container."""
    return RepositoryConfig.model_validate(
        {"url": f"azure://{ACCOUNT}/backups/{prefix}", "endpoint_url": endpoint, **more}
    )


@pytest.fixture
def closing() -> Iterator[contextlib.ExitStack]:
    """Close what a test opened."""
    with contextlib.ExitStack() as stack:
        yield stack


def open_cloud(
    kind: str, endpoint: str, prefix: str, *, patience: Patience = IMPATIENT, timeout_s: float = 60, **more: Any
) -> CloudStore:
    """Open a cloud store over small parts; uploads of others count as dead at once."""
    cloud = (
        S3("offsite", s3_config(endpoint, prefix, **more), read_timeout_s=timeout_s)
        if kind == "s3"
        else Azure("offsite", azure_config(endpoint, prefix, **more), read_timeout_s=timeout_s)
    )
    return CloudStore(cloud, patience, part_bytes=PART_BYTES, live_for=timedelta(0))


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, closing: contextlib.ExitStack) -> Open:
    """Open a store of one kind whose place is a folder; opened twice, it is the same store as another process sees it."""
    kind = cast(str, request.param)
    if kind == "files":
        return files_store
    endpoint = request.getfixturevalue(f"{kind}_server")

    made: set[str] = set()

    def open_it(folder: Path) -> Store:
        place = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        # moto looks at every object of a bucket to list some of them: a bucket for each place keeps that short.
        more: dict[str, Any] = {"bucket": f"b-{place}"} if kind == "s3" else {}
        store = open_cloud(kind, endpoint, place, **more)
        if kind == "s3" and place not in made:
            made.add(place)
            cast(S3, store.cloud).call("create_bucket", None)
        closing.callback(store.close)
        return store

    return open_it


def files_store(folder: Path) -> Store:
    """Open the directory store in `folder`."""
    folder.mkdir(exist_ok=True)
    return FilesStore(folder)


@pytest.fixture
def store(opened: Open, tmp_path: Path) -> Store:
    """An empty store."""
    return opened(tmp_path / "store")


@pytest.fixture(params=CLOUDS)
def cloud_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of cloud."""
    return cast(str, request.param)


@pytest.fixture
def proxy(cloud_kind: str, request: pytest.FixtureRequest) -> Iterator[FaultyProxy]:
    """A faulty proxy in front of that cloud."""
    with proxied(request.getfixturevalue(f"{cloud_kind}_server")) as proxy:
        yield proxy


@pytest.fixture
def open_through(cloud_kind: str, proxy: FaultyProxy, closing: contextlib.ExitStack) -> OpenCloud:
    """Open a store through the faulty proxy, in an empty place of its own; the same place each time."""
    prefix = secrets.token_hex(8)

    def open_it(**more: Any) -> CloudStore:
        patience = replace(IMPATIENT, **more.pop("patience", {}))
        store = open_cloud(cloud_kind, proxy.url, prefix, patience=patience, **more)
        closing.callback(store.close)
        return store

    return open_it
