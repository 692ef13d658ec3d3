"""Base backup into S3 on loopback beside the directory: what the job itself spends on sending objects over HTTP.

moto's server stands in for S3 in a process of its own, so its time is not counted as ours, but it takes a core from us: the wall
time says nothing of S3.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bot.config import RepositoryConfig
from bot.repository import layout
from bot.repository.open import open_repository
from bot.repository.stores.s3 import S3
from tests.benchmarks.ground import Cluster, Ground, Options
from tests.benchmarks.measuring import Cost
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.summary import Headline, Report, Requirement, paired, spread
from tests.benchmarks.turns import HEADERS, take_turns
from tests.contract.servers import moto
from tests.jobs import CLUSTER, install

ABOUT = "base backup into S3 on loopback beside the directory: the job's own CPU"
NEEDS = ("PostgreSQL 15", "moto")
_NAME, _BUCKET = "cloud", "backups"
_DIRECTORY, _S3 = "into a directory", "into S3 on loopback"
_ACCOUNT = {"AWS_ACCESS_KEY_ID": "measuring", "AWS_SECRET_ACCESS_KEY": "measuring", "AWS_DEFAULT_REGION": "us-east-1"}


def run(ground: Ground, options: Options) -> Report:
    """Measure the same job with two repositories, in turns."""
    cluster, runs = ground.cluster(options.size(2_000)), options.repeats(7)
    with _bucket(ground, cluster) as cloud:
        turns = take_turns(runs, {_S3: cloud.back_up, _DIRECTORY: Pitstop(cluster).back_up})
    own = {name: [cost.cpu_s - cost.server_cpu_s for cost in costs] for name, costs in turns.costs.items()}
    ratio = spread(paired(own[_S3], own[_DIRECTORY]))
    gigabytes = cluster.bytes / 1e9
    return Report(
        name="base-backup-s3",
        conditions=f"{cluster.bytes / 1e6:.0f} MB, {runs} runs each, in turns",
        headers=(*HEADERS[:5], "the job's own CPU s for a GB"),
        rows=[
            (name, *row[1:5], spread([used / gigabytes for used in own[name]]).text())
            for name, row in zip(own, turns.rows(), strict=True)
        ],
        data={"cluster_bytes": cluster.bytes, "own_cpu_ratio": ratio.as_json(), **turns.as_json()},
        requirements=(Requirement("the job's own CPU, of the directory's", ratio.median, 1.2),),
        notes=["moto's server takes a core meanwhile: of S3 itself the wall time says nothing."],
        headlines=[
            Headline(f"base backup into S3, {gigabytes:.1f} GB", "the directory", cpu=ratio.text(), wanted="1.2")
        ],
    )


class _Cloud(Pitstop):
    """An installation whose repository is a bucket."""

    def back_up(self) -> Cost:
        """Take a base backup into a bucket that has no other."""
        here = self.cluster.installation
        opened = open_repository(_NAME, here.config.repositories[_NAME], here.config.encryption, create=True)
        for system in opened.systems(CLUSTER):
            for folder in (layout.backups(CLUSTER, system), layout.volumes(CLUSTER, system)):
                for found in list(opened.store.list(folder)):
                    opened.store.delete(found.path)
        return super().back_up()


@contextmanager
def _bucket(ground: Ground, cluster: Cluster) -> Iterator[_Cloud]:
    """Run a stand-in for S3 while the block lasts; its account is in the environment, where the SDK looks."""
    before = {name: os.environ.get(name) for name in _ACCOUNT}
    os.environ.update(_ACCOUNT)
    try:
        folder = ground.root / "s3"
        folder.mkdir(exist_ok=True)
        with moto(folder) as address:
            settings = {"url": f"s3://{_BUCKET}/pitstop", "endpoint_url": address}
            cloud = S3(_NAME, RepositoryConfig.model_validate(settings))
            cloud.call("create_bucket", None)
            cloud.close()
            table = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
            here = install(
                folder / "pitstop",
                cluster.server,
                {"repositories": f'["{_NAME}"]'},
                f"[repositories.{_NAME}]\n{table}",
            )
            yield _Cloud(replace(cluster, installation=here))
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
