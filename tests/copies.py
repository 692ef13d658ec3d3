"""Installations with several repositories, for tests: folders, and buckets of moto's."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bot.config import RepositoryConfig, load
from bot.repository.stores.s3 import S3
from tests.contract.servers import moto
from tests.jobs import Installation, install

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


def install_copies(
    home: Path, dsn: object, extra: Mapping[str, str], *, more: str = "", cloud: str | None = None, top: str = ""
) -> Installation:
    """Make an installation with the repositories `local` and `second`, folders, and with a `cloud` address `offsite`."""
    text = f'[repositories.second]\nurl = "file://{home}/second"\n'
    if cloud is not None:
        text += f'[repositories.offsite]\nurl = "s3://backups/{secrets.token_hex(4)}"\nendpoint_url = "{cloud}"\nretry_for = "2s"\n'
    here = install(home, dsn, extra, top)  # type: ignore[arg-type]
    path = here.config_path
    path.write_text(path.read_text("utf-8").replace("[encryption]", f"{text}[encryption]") + more, "utf-8")
    config, _ = load(path)
    return Installation(here.home, path, config, here.ledger)


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """Run moto's server with a bucket, with credentials that open it alone; yield its address."""
    before = {name: os.environ.get(name) for name in (*CREDENTIALS, "AWS_PROFILE", "AWS_SESSION_TOKEN")}
    for name in before:
        os.environ.pop(name, None)
    os.environ.update(CREDENTIALS)
    try:
        with moto(folder) as url:
            config = RepositoryConfig.model_validate({"url": "s3://backups/prod", "endpoint_url": url})
            cloud = S3("offsite", config)
            cloud.call("create_bucket", None)
            cloud.close()
            yield url
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
