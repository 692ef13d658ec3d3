"""Keep each cluster's runbook current: in the ledger for Slack, and in every repository, where it is readable without a key."""

from __future__ import annotations

import contextlib
import sysconfig
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import bot
from bot.config import Config, RepositoryConfig
from bot.errors import Conflict, PitstopError, Unavailable
from bot.host.accounts import server_account
from bot.ledger import Ledger, catalogue, contents, runbooks, wal_status
from bot.model.backups import BackupSummary
from bot.model.ids import ClusterName
from bot.model.runbook import SETTINGS, BaseFacts, RepositoryFacts, Runbook, how_far_back, render
from bot.model.typed import shell_word
from bot.model.window import TimeRange
from bot.postgres.binaries import place_of
from bot.postgres.connect import server_place
from bot.repository import layout
from bot.repository.open import open_repository
from bot.repository.stores import Store
from jobs.context import JobContext

_PAGES_IN_A_ROW = 60


def keep_runbook(config: Config, ledger: Ledger, cluster: ClusterName, now: datetime) -> str:
    """Write the runbook anew where what it says has changed, and return it. Idempotent.

    Raises, after the other repositories have it:
        Unavailable: a repository cannot be reached. Usage: a repository or its key is missing.
    """
    with ledger.read() as tx:
        known, backups = runbooks.find(tx, cluster), catalogue.list(tx, cluster)
    base = _base(config, backups, known.base if known else None)
    script = _script()
    text = render(_gather(config, ledger, cluster, backups, base, _script_name(script)))
    refused: list[PitstopError] = []
    for name, settings in config.cluster_repositories(cluster).items():
        try:
            _publish(open_repository(name, settings, config.encryption).store, cluster, text, script, now)
        except PitstopError as error:
            refused.append(error)
    if known is None or known.body != text:
        with ledger.transaction() as tx:
            runbooks.put(tx, cluster, runbooks.Kept(text, now, asdict(base) if base else None))
    if refused:
        raise refused[0]
    return text


def renew_runbook(context: JobContext) -> None:
    """Keep the runbook of the run's cluster; a failure is said, and does not fail the run, which did its own work."""
    try:
        keep_runbook(context.config, context.ledger, context.run.cluster, context.now())
    except (PitstopError, OSError) as error:
        context.note(f"The runbook is late: {error}")


def _publish(store: Store, cluster: ClusterName, text: str, script: bytes, now: datetime) -> None:
    """Put script and runbook into a repository, in plain text, unless the newest there says the same."""
    folder = layout.runbooks(cluster)
    names = store.children(folder)
    beside = f"{folder}/{_script_name(script)}"
    if _script_name(script) in names and store.read(beside) != script:
        store.delete(beside)  # nothing else vouches for it, and on the worst day it is run
        names.remove(_script_name(script))
    if _script_name(script) not in names:
        _put(store, beside, script)
    pages = sorted(name for name in names if name.endswith(".md"))
    if pages and store.read(f"{folder}/{pages[-1]}") == text.encode():
        return
    _put_newest(store, cluster, text.encode(), now)


def _put_newest(store: Store, cluster: ClusterName, page: bytes, now: datetime) -> None:
    """Put a page under the time it is written, or the first one after it that no other page has: two may fall into a second."""
    for later in range(_PAGES_IN_A_ROW):
        path = layout.runbook(cluster, now + timedelta(seconds=later))
        try:
            store.put(path, [page])
        except Conflict:
            if store.read(path) == page:
                return  # another run was first
        else:
            return
    raise Unavailable(
        f"The runbook is written too often: {_PAGES_IN_A_ROW} pages have a time after now.", code="runbook-late"
    )


def _put(store: Store, path: str, body: bytes) -> None:
    with contextlib.suppress(Conflict):  # another run was first
        store.put(path, [body])


def _script() -> bytes:
    """Return the stand-alone script that decrypts: beside the sources, or where the package put it."""
    places = (Path(bot.__file__).parents[1] / "docs", Path(sysconfig.get_path("data")) / "share/pitstop")
    found = next((place / "decrypt.py" for place in places if (place / "decrypt.py").is_file()), None)
    if found is None:
        raise Unavailable("decrypt.py is not installed.", hint="Is the package whole?", code="no-decrypt-script")
    return found.read_bytes()


def _script_name(script: bytes) -> str:
    return f"decrypt-{sha256(script).hexdigest()[:8]}.py"


def _base(config: Config, backups: Iterable[BackupSummary], known: dict[str, Any] | None) -> BaseFacts | None:
    """Return what is needed of the newest sound base backup; its manifest is read once."""
    newest = next((one for one in backups if one.kind == "base" and not one.damaged), None)
    if newest is None:
        return None
    if known is not None and known["id"] == newest.id:
        return BaseFacts.from_json(known)
    manifest = _manifest(config, newest)
    facts = manifest.body.get("server_facts", {})
    settings = facts.get("settings", {})
    return BaseFacts(
        id=newest.id,
        system_id=newest.system_id,
        timeline=newest.timeline,
        start_lsn=str(newest.start_lsn),
        segment_bytes=newest.segment_bytes,
        major=newest.server_version // 10000,
        superuser=str(facts.get("bootstrap_superuser") or "postgres"),
        settings={name: str(settings[name]) for name in SETTINGS if name in settings},
        tablespaces=tuple(str(archive.tablespace) for archive in manifest.archives if archive.tablespace),
    )


def _manifest(config: Config, backup: BackupSummary) -> Any:
    """Read a manifest from the first repository that has it."""
    refused: PitstopError | None = None
    for name, settings in config.cluster_repositories(backup.cluster).items():
        try:
            repository = open_repository(name, settings, config.encryption)
            return repository.cluster(backup.cluster, backup.system_id).manifest(backup.id)
        except PitstopError as error:
            refused = error
    assert refused is not None
    raise refused


def _gather(
    config: Config,
    ledger: Ledger,
    cluster: ClusterName,
    backups: list[BackupSummary],
    base: BaseFacts | None,
    script: str,
) -> Runbook:
    settings = config.cluster(cluster)
    dump = next((one for one in backups if one.kind == "dump" and not one.damaged and not one.partial), None)
    verified = max(
        (one for one in backups if one.verified_at and not one.partial), key=lambda one: one.finished_at, default=None
    )
    with ledger.read() as tx:
        inside = contents.find(tx, cluster, dump.id) if dump else None
        wal = [one for one in wal_status.list(tx, cluster) if one.repository in config.cluster_repositories(cluster)]
    work = config.restore.directory / f"{cluster}-by-hand"
    objectives = settings.objectives
    return Runbook(
        cluster=cluster,
        place=server_place(settings.observe),
        data_directory=str(settings.data_directory) if settings.data_directory else None,
        timezone=settings.timezone,
        databases=settings.databases,
        repositories=tuple(
            _repository(name, one, str(work)) for name, one in config.cluster_repositories(cluster).items()
        ),
        keys=config.encryption.sources,
        key_file=next((one.place for one in config.encryption.wrapping if one.is_file), None),
        base=base,
        dump=dump.id if dump else None,
        dumped=tuple(one.name for one in inside.databases) if inside else (),
        verified=verified.id if verified else None,
        how_far_back=how_far_back(
            (TimeRange.from_json(part) for status in wal for part in status.window),
            based=base is not None,
            dumped=dump is not None,
            streamed=bool(wal),
        ),
        schedule=tuple((job.value, cron.text) for job, cron in config.crons(cluster)),
        objectives=(
            ("RPO", f"{objectives.rpo.target} wanted, {objectives.rpo.maximum} at most (hours:minutes:seconds)"),
            ("RTO", f"{objectives.rto.target} wanted, {objectives.rto.maximum} at most (hours:minutes:seconds)"),
        ),
        approvers=settings.approval.approvers,
        contacts=tuple(settings.contacts.items()),
        before=tuple(" ".join(shell_word(word) for word in command) for command in settings.hooks.before),
        after=tuple(" ".join(shell_word(word) for word in command) for command in settings.hooks.after),
        health=settings.health.url,
        work=str(work),
        bin_dir=_bin_dir(config, base),
        account=_account(config),
        script=script,
    )


def _repository(name: str, settings: RepositoryConfig, work: str) -> RepositoryFacts:
    if settings.directory is not None:
        return RepositoryFacts(name, settings.url, str(settings.directory), "")
    folder = shell_word(f"{work}/repository")
    endpoint = f" --endpoint-url {shell_word(settings.endpoint_url)}" if settings.endpoint_url else ""
    if settings.scheme == "s3":
        return RepositoryFacts(name, settings.url, None, f"aws s3 sync{endpoint} {shell_word(settings.url)} {folder}")
    account, container, prefix = settings.place
    pattern = f" --pattern {shell_word(prefix + '/*')}" if prefix else ""
    fetch = f"az storage blob download-batch --account-name {account} -s {container}{pattern} -d {folder}"
    return RepositoryFacts(name, settings.url, None, fetch)


def _bin_dir(config: Config, base: BaseFacts | None) -> str:
    if base is None:
        return "/usr/lib/postgresql"
    try:
        return str(place_of(base.major, extra=config.postgres.bin_directories))
    except Unavailable:
        return f"/usr/lib/postgresql/{base.major}/bin"


def _account(config: Config) -> str:
    try:
        return server_account(config.restore.user).name
    except PitstopError:
        return "postgres"
