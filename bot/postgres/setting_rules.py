"""Which server settings backups and WAL need, and what to do about each that is wrong. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.postgres.connect import quote_ident, quote_literal
from bot.postgres.findings import Finding

OLDEST, NEWEST = 14, 18
_SENDERS = 3  # the receiver, a base backup, and its own WAL when no receiver runs
_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """`values` are pg_settings' raw ones; the counts are what is in use now, `our_slots` those of Pitstop among `slots`.

    `standbys` are the application names that stream from the server now, without Pitstop's own.
    """

    values: Mapping[str, str]
    in_recovery: bool
    senders: int
    slots: int
    our_slots: int
    standbys: tuple[str, ...] = ()

    def number(self, name: str) -> int:
        """Return an integer setting; 0 when the role may not see it."""
        return int(self.values.get(name, "0"))


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each point."""
    yield _version(settings)
    yield _wal_level(settings)
    yield _senders(settings)
    yield _slots(settings)
    yield from _synchronous(settings)
    yield _keep_size(settings)
    yield from _idle_timeout(settings)
    yield _checksums(settings)
    yield from _durability(settings)


def _version(settings: Settings) -> Finding:
    major = settings.number("server_version_num") // 10000
    if major < OLDEST:
        return Finding(
            "fail", "server-too-old", f"The server is PostgreSQL {major}.", f"Upgrade it to {OLDEST} or later."
        )
    if major > NEWEST:
        return Finding(
            "warn",
            "server-too-new",
            f"PostgreSQL {major} is newer than what Pitstop was tested with.",
            "Update Pitstop.",
        )
    return Finding("ok", "version", f"The server is PostgreSQL {major}.")


def _wal_level(settings: Settings) -> Finding:
    level = settings.values.get("wal_level", "")
    if level == "minimal":
        return Finding(
            "fail",
            "wal-level",
            "wal_level is minimal: there is nothing to stream.",
            "ALTER SYSTEM SET wal_level = 'replica'; -- then restart the server",
        )
    return Finding("ok", "wal-level", f"wal_level is {level}.")


def _senders(settings: Settings) -> Finding:
    most = settings.number("max_wal_senders")
    # A running receiver is one of those in use already.
    needed = settings.senders + (_SENDERS - 1 if settings.our_slots else _SENDERS)
    if most < needed:
        return Finding(
            "fail" if most < settings.senders + 1 else "warn",
            "max-wal-senders",
            f"max_wal_senders is {most}, {settings.senders} are in use, and Pitstop takes up to {_SENDERS}.",
            f"ALTER SYSTEM SET max_wal_senders = {max(10, needed)}; -- then restart the server",
        )
    return Finding("ok", "max-wal-senders", f"max_wal_senders is {most}, {settings.senders} are in use.")


def _slots(settings: Settings) -> Finding:
    most = settings.number("max_replication_slots")
    needed = settings.slots + max(0, _SLOTS - settings.our_slots)
    if most < needed:
        return Finding(
            "fail",
            "max-replication-slots",
            f"max_replication_slots is {most}, {settings.slots} exist, and Pitstop needs {_SLOTS} of its own.",
            f"ALTER SYSTEM SET max_replication_slots = {max(10, needed)}; -- then restart the server",
        )
    return Finding("ok", "max-replication-slots", f"max_replication_slots is {most}, {settings.slots} exist.")


def _synchronous(settings: Settings) -> Iterator[Finding]:
    names = settings.values.get("synchronous_standby_names", "")
    if re.search(r"(^|[\s,(])\"?\*\"?([\s,)]|$)", names):
        yield Finding(
            "fail",
            "synchronous-star",
            f"synchronous_standby_names = '{names}' makes the WAL receiver synchronous unasked: stopping it hangs every commit.",
            f"ALTER SYSTEM SET synchronous_standby_names = {_standbys(settings)}; SELECT pg_reload_conf();",
        )
        return
    if "pitstop_" not in names:
        return
    if settings.values.get("synchronous_commit") == "remote_apply":
        yield Finding(
            "fail",
            "remote-apply",
            "synchronous_commit = remote_apply hangs for ever on a receiver, which never applies WAL.",
            "ALTER SYSTEM SET synchronous_commit = 'on'; SELECT pg_reload_conf();",
        )
    if not re.match(r"\s*ANY\s", names, re.IGNORECASE):
        yield Finding(
            "warn",
            "synchronous-alone",
            f"With synchronous_standby_names = '{names}' commits wait whenever the receiver is down.",
            "Prefer ANY 1 (…) with a standby beside it, or accept that outage for an RPO of 0.",
        )


def _standbys(settings: Settings) -> str:
    """Return what synchronous_standby_names can say instead of `*`: the standbys that stream now, any one of them."""
    names = ", ".join(quote_ident(name) for name in dict.fromkeys(settings.standbys))
    return quote_literal(f"ANY 1 ({names})" if names else "")


def _keep_size(settings: Settings) -> Finding:
    size = settings.number("max_slot_wal_keep_size")
    if size < 0:
        return Finding(
            "warn",
            "slot-unbounded",
            "max_slot_wal_keep_size is unlimited: a receiver that stays away fills the server's disk with WAL.",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); -- about a third of the free disk",
        )
    return Finding("ok", "slot-bounded", f"max_slot_wal_keep_size bounds what slots keep to {size} MB.")


def _idle_timeout(settings: Settings) -> Iterator[Finding]:
    timeout_s = settings.number("idle_replication_slot_timeout")
    if timeout_s:
        yield Finding(
            "warn",
            "slot-idle-timeout",
            f"idle_replication_slot_timeout drops the slots when the receiver is away for {timeout_s} s.",
            "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
        )


def _checksums(settings: Settings) -> Finding:
    if settings.values.get("data_checksums") == "on":
        return Finding("ok", "data-checksums", "Data checksums are on: backups notice corrupt pages.")
    return Finding(
        "warn",
        "data-checksums",
        "Data checksums are off: a corrupt page is backed up unnoticed.",
        "Stop the server, pg_checksums --enable -D DATA_DIRECTORY, start it.",
    )


def _durability(settings: Settings) -> Iterator[Finding]:
    for name in ("fsync", "full_page_writes"):
        if settings.values.get(name) == "off":
            yield Finding(
                "warn",
                name.replace("_", "-"),
                f"{name} is off: a power cut may corrupt the server itself.",
                f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf();",
            )
