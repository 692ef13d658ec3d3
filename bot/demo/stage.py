"""Everything the story needs on one machine: a server with the shop in it, a repository, a workspace, and the real bot."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.config import Config, load
from bot.demo import shop
from bot.demo.ending import be_deaf, end_bot, end_runs, interrupted_once
from bot.errors import Failed, Usage
from bot.host.accounts import Account, server_account
from bot.ledger import Ledger
from bot.postgres.binaries import find
from bot.postgres.plain import PlainServer, initdb
from bot.postgres.readable import runnable_by
from bot.repository.keys.file import create_key_file
from bot.repository.open import open_repository
from bot.sandbox.driver import Driver
from bot.sandbox.server import ADDRESS, Sandbox
from bot.sandbox.values import Action
from bot.slack.manifest import manifest

CLUSTER = "slips"
MAJOR = 18

_SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "fsync": "on",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}
_CONFIG = """\
# The demo's configuration: one cluster, one repository, the sandbox's channels and people.
ledger = "{root}/pitstop/ledger.db"
spool = "{root}/pitstop/spool"

[slack]
channels = {{ results = "#db-backups", alerts = "#db-alerts", approvals = "#db-approvals" }}
api_url = "{api_url}"

[repositories.local]
url = "file://{root}/repository"

[encryption]
key = "file:{root}/pitstop/key"

[restore]
directory = "{root}/restores"
lifetime = "2h"

[clusters.slips]
dsn = "{dsn}"
databases = ["{database}"]
timezone = "Asia/Bangkok"
shared_disk = true                 # one machine, one disk: fine for a demo, refused for production

[clusters.slips.approval]
requesters = ["everyone"]
approvers = ["S0DBAS"]

[[clusters.slips.checks]]
name = "every transaction has its order"
database = "{database}"
sql = 'SELECT count(*) FROM "Transactions" t LEFT JOIN "Orders" o ON o."Id" = t."OrderId" WHERE o."Id" IS NULL'
expect = "0"
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running demo. `dsn` leads to the live server, `config_path` is the bot's configuration, `url` the workspace's page."""

    root: Path
    dsn: str
    config: Config
    config_path: Path
    sandbox: Sandbox
    customers: shop.Customers

    @property
    def driver(self) -> Driver:
        """Hands and eyes in the workspace."""
        return self.sandbox.driver()

    @property
    def url(self) -> str:
        """Where the page is."""
        return self.sandbox.url

    @property
    def ledger(self) -> Ledger:
        """The bot's ledger."""
        return Ledger(self.config.ledger)


@contextmanager
def stage(
    *, directory: Path | None = None, port: int = 0, actions: Callable[[str], Sequence[Action]] | None = None
) -> Iterator[Stage]:
    """Build the demo, and take everything down again: processes by their identity, files unless `directory` was named.

    Raises:
        Usage: `directory` is not empty, or `port` cannot be listened on.
        Failed: the bot did not come up; says where its log is.
    """
    _require_port(port)
    with interrupted_once(), ExitStack() as cleanup:
        root = _root(directory, cleanup)
        account = server_account(None, None)
        dsn = _live_server(root, account, cleanup)
        shop.fill(dsn)
        sandbox = Sandbox.start(port, manifest=manifest(), actions=actions(dsn) if actions else ())
        cleanup.callback(sandbox.stop)
        config_path = _configure(root, dsn, sandbox.api_url)
        config, _ = load(config_path)
        _begin(config)
        cleanup.callback(end_runs, config, config_path)
        bot = _bot(root, config_path, sandbox)
        cleanup.callback(end_bot, bot)
        customers = shop.Customers(dsn)
        customers.start()
        cleanup.callback(customers.close)
        _wait_for_bot(bot, sandbox, root)
        cleanup.callback(be_deaf)
        yield Stage(root, dsn, config, config_path, sandbox, customers)


def _require_port(port: int) -> None:
    try:
        with socket.create_server((ADDRESS, port)):
            pass
    except OSError as error:
        raise Usage(
            f"The page cannot have port {port}: {os.strerror(error.errno or 0).lower()}.",
            hint="Name another one with --port, or leave it out for a free one.",
            code="port-in-use" if error.errno == errno.EADDRINUSE else "port",
        ) from None


def _root(directory: Path | None, cleanup: ExitStack) -> Path:
    if directory is None:
        root = Path(tempfile.mkdtemp(prefix="pitstop-demo-"))
        cleanup.callback(shutil.rmtree, root, ignore_errors=True)
    else:
        root = directory.absolute()
        if root.exists() and any(root.iterdir()):
            raise Usage(f"{root} is not empty.", hint="Name an empty or new folder with --dir.", code="not-empty")
        root.mkdir(parents=True, exist_ok=True)
    # The server's account passes through; what is secret is in folders of its own.
    root.chmod(0o711)
    for name in ("pitstop", "repository"):
        (root / name).mkdir(mode=0o700)
    (root / "restores").mkdir(mode=0o711)
    return root


def _live_server(root: Path, account: Account, cleanup: ExitStack) -> str:
    binaries = runnable_by(find(MAJOR), account)
    home = root / "server"
    home.mkdir(mode=0o700)
    os.chown(home, account.uid, account.gid)
    initdb(binaries, home / "data", account)
    server = PlainServer.start(
        binaries, home / "data", account, socket_dir=home, settings=_SETTINGS, log=home / "postgres.log"
    )
    cleanup.callback(server.stop)
    return server.dsn()


def _configure(root: Path, dsn: str, api_url: str) -> Path:
    create_key_file(root / "pitstop" / "key")
    path = root / "pitstop" / "pitstop.toml"
    path.write_text(_CONFIG.format(root=root, dsn=dsn, api_url=api_url, database=shop.DATABASE), encoding="utf-8")
    return path


def _begin(config: Config) -> None:
    """Make the data keys, as `pitstop keys init` does: a repository without one is an alert as soon as the bot looks."""
    for name, repository in config.repositories.items():
        open_repository(name, repository, config.encryption, create=True)


def _bot(root: Path, config_path: Path, sandbox: Sandbox) -> subprocess.Popen[bytes]:
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    environment = {name: value for name, value in os.environ.items() if name.lower() not in proxies}
    environment |= {"SLACK_BOT_TOKEN": sandbox.bot_token, "SLACK_APP_TOKEN": sandbox.app_token}
    environment.pop("SLACK_SIGNING_SECRET", None)
    with (root / "pitstop" / "bot.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "bot", "run", "--config", str(config_path)],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _wait_for_bot(bot: subprocess.Popen[bytes], sandbox: Sandbox, root: Path, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    driver = sandbox.driver()
    while not driver.sockets():
        if bot.poll() is not None or time.monotonic() > deadline:
            tail = (root / "pitstop" / "bot.log").read_text("utf-8", "replace").splitlines()[-8:]
            raise Failed("The bot did not come up:\n" + "\n".join(tail), hint=f"Its log is {root}/pitstop/bot.log.")
        time.sleep(0.05)
