"""Does this host fit the recorded server? What differs becomes a warning in the plan, or a refusal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bot.errors import Refused, Unavailable
from bot.host.namespaces import isolation
from bot.model.wal import Lsn
from bot.postgres.binaries import Binaries, install_line
from bot.postgres.ground import Wal
from bot.postgres.isolated_files import missing_locales
from bot.postgres.wal_survey import survey


def host_warnings(facts: Mapping[str, Any], binaries: Binaries) -> list[str]:
    """Return in sentences what may work differently here than on the recorded server.

    Raises:
        Unavailable: `missing-locale`; without it the server would not start or would read its text wrongly.
    """
    databases: Sequence[Mapping[str, Any]] = facts.get("databases", ())
    lacking = sorted(missing_locales(databases))
    if lacking:
        raise Unavailable(
            f"This machine lacks the locale “{lacking[0]}” that a database of the backup uses.",
            hint=f"localedef -i {lacking[0].partition('.')[0]} -f UTF-8 {lacking[0]}",
            code="missing-locale",
        )
    return [
        *_older_minor(facts, binaries),
        *_extensions(facts, binaries),
        *_libraries(facts, binaries),
        *_collations(facts),
        *([str(facts["config_missing"])] if facts.get("config_missing") else []),
    ]


def require_safe_replay(wal: Wal, start: Lsn, end: Lsn) -> None:
    """Refuse WAL that creates tablespaces where no namespace can keep the copy from production's folders. Slow then.

    Raises:
        Refused: `tablespace-in-range`.
    """
    if isolation() is not None:
        return
    found = survey(wal, start, end).tablespaces
    if found:
        raise Refused(
            f"The WAL to be replayed creates a tablespace at {found[0].location}, and this machine has no namespaces to"
            " keep the copy away from that folder.",
            hint="Allow user namespaces here, take a target before that, or take a base backup after it.",
            code="tablespace-in-range",
        )


def _older_minor(facts: Mapping[str, Any], binaries: Binaries) -> list[str]:
    recorded = int(facts.get("version_num", 0))
    if recorded % 10000 <= binaries.version_num % 10000:
        return []
    return [
        f"PostgreSQL here is {binaries.version}, older than the server's {recorded // 10000}.{recorded % 10000}: "
        + install_line(binaries.major)
    ]


def _extensions(facts: Mapping[str, Any], binaries: Binaries) -> list[str]:
    names = sorted({str(extension["name"]) for extension in facts.get("extensions", ())})
    missing = [name for name in names if not _has_extension(binaries, name)]
    if not missing:
        return []
    return [f"Extensions not installed here, whose functions will fail: {', '.join(missing)}."]


def _has_extension(binaries: Binaries, name: str) -> bool:
    share = binaries.bin_dir.parent / "share"
    places = [
        share / "extension",
        share / "postgresql" / "extension",
        binaries.bin_dir.parents[3] / "share" / "postgresql" / str(binaries.major) / "extension",
    ]
    return any((place / f"{name}.control").exists() for place in places)


def _libraries(facts: Mapping[str, Any], binaries: Binaries) -> list[str]:
    names = str(facts.get("settings", {}).get("shared_preload_libraries", "")).split(",")
    lacking = [name.strip() for name in names if name.strip() and not binaries.has_library(name.strip().strip('"'))]
    return [f"Preloaded libraries not installed here: {', '.join(lacking)}."] if lacking else []


def _collations(facts: Mapping[str, Any]) -> list[str]:
    """Compare the C library's version, which decides the order of text in libc collations."""
    here = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    number = (here or "").rpartition(" ")[2]
    versions = {
        str(row["collation_version_actual"])
        for row in facts.get("databases", ())
        if row.get("provider") in {"c", "libc"} and row.get("collation_version_actual")
    }
    other = sorted(versions - {number})
    if not number or not other:
        return []
    return [
        f"Text sorts by glibc {number} here and {', '.join(other)} on the server: indexes on text may be wrong; reindex before use."
    ]
