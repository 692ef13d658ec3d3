"""Prepare the copy: which programs it runs, and a configuration in which it can harm nobody."""

from __future__ import annotations

from bot.host.accounts import Account
from bot.postgres.binaries import find
from bot.postgres.isolated import IsolatedServer
from bot.postgres.isolated import prepare as make_safe
from bot.postgres.isolated_folder import ServerFolder
from bot.postgres.isolated_settings import RecoverySettings
from bot.postgres.wal_service import WalService
from bot.repository.manifest import Manifest
from jobs.pitr.work import Work


def prepare(work: Work, folder: ServerFolder, manifest: Manifest, account: Account, wal: WalService) -> IsolatedServer:
    """Make the restored files safe and write the configuration of a recovery to the target; nothing is started.

    Raises:
        Unavailable: this machine lacks the major, a locale or a library.
        Failed: files are missing.
    """
    work.context.phase("prepare")
    work.context.check_cancelled()
    return make_safe(
        folder,
        facts=manifest.body["server_facts"],
        binaries=find(manifest.server_version // 10000, extra=work.config.postgres.bin_directories),
        account=account,
        recovery=RecoverySettings(work.steps.target, wal.restore_command),
    )
