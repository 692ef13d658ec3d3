"""`pitstop check`: is everything in place, and the line that puts right what is not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from bot.commands.output import AsJson, say, show

if TYPE_CHECKING:
    from bot.config import ClusterConfig, Config, RepositoryConfig, SlackConfig
    from bot.model.backups import BackupSummary

_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


class Point(NamedTuple):
    """One checked point: `level` is ok, warn or fail; `fix` the line that puts it right."""

    about: str
    level: str
    code: str
    sentence: str
    fix: str = ""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    configuration: Annotated[
        bool, typer.Option("--configuration", help="Print the configuration in force as well, defaults included.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Check everything; print the line that puts a problem right.

    Configuration, PostgreSQL's settings and rights, transport, disks, programs, repositories, keys, Slack, and who may do
    what. Exit 1 if anything fails; warnings alone are fine.
    """
    from bot.commands.effective import in_force
    from bot.commands.surroundings import read_config

    config, path = read_config()
    points = list(all_points(config))
    document: dict[str, Any] = {
        "ok": not any(point.level == "fail" for point in points),
        "points": [point._asdict() for point in points],
        "configuration": {"path": str(path), "effective": in_force(config, cores=len(os.sched_getaffinity(0)))},
    }

    def lines() -> None:
        _say(points)
        if configuration:
            _say_configuration(config, document["configuration"])

    show(document, lines, as_json=as_json)
    return 0 if document["ok"] else 1


def all_points(config: Config) -> Iterator[Point]:
    """Check everything; what one part raises becomes a failed point, so that the other parts are still checked."""
    from bot.commands.check_attention import attention_points
    from bot.commands.check_in_place import in_place_points
    from bot.commands.check_keys import wrapping_points

    yield from _guarded("this machine", lambda: _machine(config))
    yield from _guarded("keys", lambda: wrapping_points(config))
    for name, repository in config.repositories.items():
        yield from _guarded(f"repository {name}", lambda n=name, r=repository: _repository(config, n, r))  # type: ignore[misc]
    servers: dict[str, list[str]] = {}
    for name, cluster in config.clusters.items():
        yield from _guarded(f"cluster {name}", lambda n=name: _cluster(config, n))  # type: ignore[misc]
        yield from _guarded(f"cluster {name}", lambda n=name: _histories(config, n, servers))  # type: ignore[misc]
        yield from _guarded(f"cluster {name}", lambda n=name: _slots(config, n))  # type: ignore[misc]
        yield from in_place_points(name, cluster)
        yield from _rights(config, name, cluster)
    yield from _same_servers(servers)
    yield from _guarded("slack", lambda: _slack(config))
    yield from _guarded("alerts", lambda: attention_points(config))


def _guarded(about: str, points: Callable[[], Iterator[Point]]) -> Iterator[Point]:
    from bot.errors import PitstopError

    try:
        yield from points()
    except PitstopError as error:
        yield Point(about, "fail", error.reason_code, error.message, error.hint)


def _machine(config: Config) -> Iterator[Point]:
    from bot.host.namespaces import isolation

    about = "this machine"
    kind = isolation()
    if kind is None:
        sentence = (
            "Namespaces do not work here: restored servers need another system user, and WAL that creates tablespaces"
            " is refused."
        )
        fix = (
            "In a container, give it the capability SYS_ADMIN: docker run --cap-add SYS_ADMIN …"
            if os.geteuid() == 0
            else "sysctl -w user.max_user_namespaces=10000 (Debian also kernel.unprivileged_userns_clone=1), or run as root."
        )
        yield Point(about, "warn", "isolation", sentence, fix)
    else:
        yield Point(about, "ok", "isolation", f"Restored servers are isolated in namespaces ({kind}).")
    yield _whose_servers(config)
    folders = {"ledger": config.ledger.parent, "spool": config.spool, "restore.directory": config.restore.directory}
    for key, folder in folders.items():
        yield _writable(key, folder)


def _writable(key: str, folder: Path) -> Point:
    from bot.host.files import nearest_existing

    there = nearest_existing(folder)
    if os.access(there, os.W_OK | os.X_OK):
        return Point("this machine", "ok", "folder", f"{folder} ({key}) can be written.")
    fix = f"install -d -o {_me()} -m 0700 {shlex.quote(str(folder))}"
    return Point(
        "this machine", "fail", "folder", f"{folder} ({key}) cannot be written by {_me()}: {there} says no.", fix
    )


def _me() -> str:
    from bot.host.accounts import Account

    return Account.current().name


def _whose_servers(config: Config) -> Point:
    from bot.errors import PitstopError
    from bot.host.accounts import server_account

    try:
        account = server_account(config.restore.user)
    except PitstopError as error:
        return Point("this machine", "fail", error.reason_code, error.message, error.hint)
    return Point("this machine", "ok", "account", f"Restored servers run as {account.name}.")


def _repository(config: Config, name: str, repository: RepositoryConfig) -> Iterator[Point]:
    import secrets

    from bot.commands.check_keys import data_key_points
    from bot.repository.layout import CHECK
    from bot.repository.open import open_repository
    from bot.repository.stores.cloud import CloudStore

    about = f"repository {name}"
    yield from _place(name, repository)
    opened = open_repository(name, repository, config.encryption)
    yield from data_key_points(about, opened)
    path, content = f"{CHECK}/{secrets.token_hex(8)}", secrets.token_bytes(1024)
    opened.seal(path, [content])
    try:
        same = b"".join(opened.unseal(path)) == content
        overwrites = isinstance(opened.store, CloudStore) and opened.store.overwrites(path)
    finally:
        opened.store.delete(path)
    if same:
        yield Point(about, "ok", "write-read", "An object was written, read back, decrypted and deleted.")
    else:
        yield Point(about, "fail", "write-read", "An object came back different.", "Check the disk and its memory.")
    if overwrites:
        sentence = (
            "The server ignores conditional writes: two writers of one object at the same moment are not told apart."
        )
        yield Point(about, "warn", "write-once", sentence, "Let one installation write to this repository, no more.")


def _place(name: str, repository: RepositoryConfig) -> Iterator[Point]:
    """Look at the bucket or container itself; its rules come first, since they may take away what the rest is about."""
    from bot.repository.open import open_store
    from bot.repository.stores.cloud import CloudStore

    if repository.directory is not None:
        return
    about = f"repository {name}"
    address = repository.endpoint_url or ""
    if address.startswith("http://"):
        fix = f'[repositories.{name}] endpoint_url = "https://…"'
        yield Point(about, "warn", "plain-http", "The storage is reached without TLS.", fix)
    store = open_store(name, repository)
    assert isinstance(store, CloudStore), "what is not a directory is in a cloud"
    try:
        for remark in store.place().remarks():
            yield Point(about, remark.level, remark.code, remark.sentence, remark.fix)
    finally:
        store.close()


def _cluster(config: Config, name: str) -> Iterator[Point]:
    from bot.postgres.checks import check_cluster

    for finding in check_cluster(config, name):
        yield Point(f"cluster {name}", finding.level, finding.code, finding.sentence, finding.fix)


def _histories(config: Config, name: str, servers: dict[str, list[str]]) -> Iterator[Point]:
    """Check that the backups kept under the cluster's name are this server's; without the server nothing can be said.

    The name is added to `servers`, under the server's system identifier.
    """
    from bot.errors import PitstopError
    from bot.model.ids import ClusterName, SystemId
    from bot.postgres.replication import ReplicationConnection
    from bot.repository.open import open_repository
    from jobs.repositories import backups_by_owner, require_own_history

    try:
        with ReplicationConnection.open(config.cluster(name).stream) as conn:
            system_id, major = SystemId(conn.identify()[0]), conn.major
        servers.setdefault(system_id, []).append(name)
        opened = [open_repository(r, c, config.encryption) for r, c in config.cluster_repositories(name).items()]
    except PitstopError:
        return  # said above, with its own line to put right
    for repository in opened:
        require_own_history(repository, ClusterName(name), system_id, major)
        own, others = backups_by_owner(repository, ClusterName(name), system_id)
        yield _history(f"cluster {name}", repository.name, own, others)


def _history(about: str, repository: str, own: list[BackupSummary], others: list[BackupSummary]) -> Point:
    """Say whose the backups under a cluster's name are. A server of before an upgrade has its last one before the first of now:
    else two servers are backed up under one name, and recoveries follow whichever was the last. Pure."""
    if not others:
        return Point(about, "ok", "history", f"What {repository} keeps of it is of this server.")
    last = others[-1]
    version = last.server_version // 10000
    what = f"{repository} also keeps backups of a PostgreSQL {version} with the system identifier {last.system_id}"
    if own and own[0].id > last.id:
        return Point(about, "ok", "history", f"{what}, the last one of {last.id[:8]}: of before its upgrade.")
    return Point(
        about,
        "warn",
        "two-servers",
        f"{what}, the last one {last.id}"
        + (": two servers are backed up under one name." if own else ", and none of this server yet."),
        "Was this server upgraded, and is the old one shut down? Else give one of them a name of its own in the configuration.",
    )


def _same_servers(servers: dict[str, list[str]]) -> Iterator[Point]:
    """Say which clusters are one server: a second name is rarely meant, and costs its whole backups and WAL once more. Pure."""
    for system_id, names in servers.items():
        for name in names[1:]:
            sentence = f"It is the same server as {names[0]}, or its standby or copy: the system identifier of both is {system_id}."
            fix = "Do the DSNs of both lead where they should? Else leave one out: each keeps all of it, with WAL of its own."
            yield Point(f"cluster {name}", "warn", "same-server", sentence, fix)


def _slots(config: Config, name: str) -> Iterator[Point]:
    """Check that slots which hold WAL have a receiver; one that has gone for good lets the server's disk fill up."""
    from bot.errors import PitstopError
    from bot.host.locks import is_locked
    from bot.postgres.connect import connect
    from bot.slack.text import size
    from jobs.wal.slots import idle_slots, slot_names
    from jobs.wal.spool import spool_of

    try:
        if is_locked(spool_of(config.spool, name).lock_path):
            return
        with connect(config.cluster(name).observe) as conn:
            idle = idle_slots(conn, slot_names(name))
    except PitstopError:
        return  # said above, with its own line to put right
    if idle:
        held = " and ".join(f"{slot} ({size(held_bytes)})" for slot, held_bytes in idle)
        drop = " ".join(f"SELECT pg_drop_replication_slot('{slot}');" for slot, _ in idle)
        fix = f"Start `pitstop run`, or `pitstop wal stream {name}`. If no receiver shall come back: {drop}"
        sentence = f"No receiver runs, and its slots make the server keep WAL: {held}."
        yield Point(f"cluster {name}", "warn", "idle-slots", sentence, fix)


def _rights(config: Config, name: str, cluster: ClusterConfig) -> Iterator[Point]:
    about, policy = f"cluster {name}", cluster.policy
    for word, entries in (("ask", policy.requesters), ("approve", policy.approvers)):
        key = "requesters" if word == "ask" else "approvers"
        if entries:
            yield Point(about, "ok", key, f"May {word}: {', '.join(entries)}.")
        else:
            fix = f'[clusters.{name}.approval] {key} = ["U…", "S…"]'
            yield Point(about, "warn", key, f"Nobody may {word} in Slack.", fix)
    host = "no approval" if policy.cli_beside_quorum == 0 else f"{policy.cli_beside_quorum} approval(s)"
    sentence = f"A restore beside needs {policy.quorum} approval(s) when asked for in Slack, {host} on this host."
    yield Point(about, "ok", "quorum", sentence)
    on_host = ", ".join(f"{login} = {user}" for login, user in config.people.items()) or "nobody"
    yield Point(about, "ok", "people", f"Logins with a Slack identity: {on_host}.")


def _slack(config: Config) -> Iterator[Point]:
    slack, about = config.slack, "slack"
    if slack is None:
        fix = '[slack] channels = { results = "#db-backups", alerts = "#db-alerts", approvals = "#db-approvals" }'
        yield Point(about, "warn", "no-slack", "Slack is not configured; the command line works without.", fix)
        return
    if not slack.bot_token:
        yield Point(about, "warn", "no-token", "There is no bot token.", "Set SLACK_BOT_TOKEN or slack.bot_token_file.")
        return
    if not (slack.app_token or slack.signing_secret):
        fix = "Set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP)."
        yield Point(about, "fail", "no-app-token", "There is neither an app token nor a signing secret.", fix)
    yield from _ask_slack(config, slack, slack.bot_token)


def _ask_slack(config: Config, slack: SlackConfig, token: str) -> Iterator[Point]:
    from bot.process.place import utc_now
    from bot.slack.check import check_slack
    from bot.slack.client import web_client

    named = {
        entry
        for cluster in config.clusters.values()
        for entry in (*cluster.policy.requesters, *cluster.policy.approvers)
    } | ({slack.oncall} if slack.oncall else set())
    findings = check_slack(
        web_client(token, api_url=slack.api_url),
        channels=slack.channels.model_dump(),
        groups=sorted(entry for entry in named if entry.startswith("S")),
        users=sorted(entry for entry in named if entry[0] in "UW"),
        at=utc_now(),
    )
    for finding in findings:
        yield Point("slack", finding.level, finding.code, finding.sentence, finding.fix)


def _say(points: list[Point]) -> None:
    for point in points:
        say(f"{_MARKS[point.level]}  {point.about}: {point.sentence}")
        if point.fix and point.level != "ok":
            say(f"      {point.fix}")
    counts = {level: sum(point.level == level for point in points) for level in _MARKS}
    say(f"{counts['fail']} to put right, {counts['warn']} to look at, {counts['ok']} fine.")


def _say_configuration(config: Config, found: dict[str, Any]) -> None:
    from bot.commands.effective import floor_lines, toml_lines

    say(f"\n# What is in force, from {found['path']}")
    for line in (*toml_lines(found["effective"]), *floor_lines(config)):
        say(line)
