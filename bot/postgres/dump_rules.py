"""Can this cluster be dumped from here: pg_dump, the role's rights, and large objects, which no predefined role opens. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bot.postgres.binaries import Binaries, install_line
from bot.postgres.connect import quote_ident
from bot.postgres.findings import Finding

_TOOLS = ("pg_dump", "pg_dumpall")

UNREADABLE_OBJECTS = """
SELECT count(*) FROM pg_largeobject_metadata
WHERE NOT pg_has_role(lomowner, 'USAGE') AND NOT EXISTS (
    SELECT FROM aclexplode(lomacl) granted WHERE granted.privilege_type = 'SELECT'
    AND (granted.grantee = 0 OR pg_has_role(granted.grantee, 'USAGE')))
"""
"""Counts the large objects that the current role may not read; a superuser may read all."""


def check_dump_programs(major: int, here: Sequence[Binaries]) -> Iterator[Finding]:
    """Yield whether a server of `major` can be dumped; `here` are the installations that have pg_dump."""
    fit = [b for b in here if b.major >= major and all(b.has(tool) for tool in _TOOLS)]
    if fit:
        chosen = min(fit, key=lambda b: (b.major, -b.version_num))
        yield Finding("ok", "dump-programs", f"pg_dump {chosen.version} is here for dumps.")
        return
    have = ", ".join(b.version for b in here) or "none"
    yield Finding(
        "fail",
        "dump-programs",
        f"There is no pg_dump for PostgreSQL {major} here (found: {have}): nothing can be dumped.",
        install_line(major, client=True),
    )


def check_large_objects(role: str, unreadable: Mapping[str, int]) -> Iterator[Finding]:
    """Yield a finding for each database, by name, with large objects that `role` may not read."""
    for database, count in unreadable.items():
        if count:
            yield Finding(
                "warn",
                "right-large-objects",
                f"The role {role} may not read {count:,} large objects of {database}, which cannot be dumped.",
                f"{grant_large_objects(quote_ident(role))} -- in {database}, as superuser; or set dump_dsn to a role that may",
            )


def grant_large_objects(role: str) -> str:
    """Return the statement that lets `role` (quoted) read every large object there is now."""
    grant = f"GRANT SELECT ON LARGE OBJECT %s TO {role}".replace("'", "''")
    loop = f"FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE format('{grant}', o); END LOOP;"  # noqa: S608
    return f"DO $$ DECLARE o oid; BEGIN {loop} END $$;"
