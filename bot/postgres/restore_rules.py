"""May the restoring role restore: make databases, give things their owners, end sessions? With the line for each right it lacks.

Its rights are read as the observing role; only the executor connects with its secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bot.postgres.connect import Connection, quote_ident
from bot.postgres.findings import Finding

_ROLE = """
SELECT rolname::text, rolsuper, rolcreatedb, pg_has_role(oid, 'pg_signal_backend', 'USAGE')
FROM pg_roles WHERE rolname = %s
"""
_OWNERS = """
SELECT DISTINCT pg_get_userbyid(refobjid)::text FROM pg_shdepend
WHERE deptype = 'o' AND refclassid = 'pg_authid'::regclass AND NOT pg_has_role(%s, refobjid, %s)
ORDER BY 1
"""
_MOST = 8


@dataclass(frozen=True, slots=True)
class RestoringRole:
    """What a role may do; `foreign_owners` are roles that own something and that it cannot become."""

    role: str
    superuser: bool
    creates_databases: bool
    ends_sessions: bool
    foreign_owners: tuple[str, ...] = ()


def read_restoring_role(connection: Connection, role: str) -> RestoringRole | None:
    """Return what `role` may do on the server, or None when there is no such role."""
    row = connection.execute(_ROLE.encode(), [role]).fetchone()
    if row is None:
        return None
    name, superuser, creates, ends = row
    become = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    owners = () if superuser else connection.execute(_OWNERS.encode(), [role, become]).fetchall()
    return RestoringRole(name, superuser, creates, ends, tuple(str(owner) for (owner,) in owners))


def check_restoring(user: str | None, found: RestoringRole | None) -> Iterator[Finding]:
    """Yield a finding for each right the role `user` of restore_dsn lacks. Pure."""
    if user is None:
        yield Finding(
            "warn",
            "no-restore-role",
            "Neither restore_dsn nor dsn is set: nothing can be restored into the live server.",
            "CREATE ROLE pitstop_restore LOGIN SUPERUSER PASSWORD '…'; -- then restore_dsn = \"… user=pitstop_restore\"",
        )
    elif found is None:
        line = f"CREATE ROLE {quote_ident(user)} LOGIN SUPERUSER PASSWORD '…';"
        yield Finding("warn", "no-restore-role", f"The role {user} of restore_dsn does not exist.", line)
    elif found.superuser:
        yield Finding("ok", "restore-rights", f"The role {found.role} is a superuser: it may restore everything.")
    else:
        yield from _lacking(found)


def _lacking(found: RestoringRole) -> Iterator[Finding]:
    role, missing = quote_ident(found.role), list[Finding]()
    if not found.creates_databases:
        said = f"The role {found.role} may not make or rename databases: nothing can be restored into the live server."
        missing.append(Finding("warn", "right-createdb", said, f"ALTER ROLE {role} WITH CREATEDB;"))
    if not found.ends_sessions:
        said = f"The role {found.role} may not end the sessions of a database: it cannot be swapped in place."
        missing.append(Finding("warn", "right-signal-backend", said, f"GRANT pg_signal_backend TO {role};"))
    if owners := found.foreign_owners:
        more = f" and {len(owners) - _MOST} more" if len(owners) > _MOST else ""
        said = (
            f"The role {found.role} cannot give things back to their owners, nor swap their databases in place:"
            f" {', '.join(owners[:_MOST])}{more}."
        )
        grant = f"GRANT {', '.join(quote_ident(owner) for owner in owners)} TO {role};"
        missing.append(Finding("warn", "right-set-role", said, grant))
    yield from missing
    if not missing:
        yield Finding("ok", "restore-rights", f"The role {found.role} may restore and swap what superusers do not own.")
