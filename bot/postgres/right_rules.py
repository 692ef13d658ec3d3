"""Which rights the observing role needs, and the GRANT for each feature that lacks one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bot.postgres.connect import quote_ident
from bot.postgres.findings import Finding

_FUNCTIONS = (
    ("pg_create_restore_point(text)", 14, "`pitstop mark` cannot write restore points"),
    ("pg_switch_wal()", 14, "drills cannot close the current WAL segment"),
    ("pg_hba_file_rules()", 14, "access rules are neither checked nor recorded"),
    ("pg_ident_file_mappings()", 15, "user maps are not recorded"),
)
_READING = ("pg_read_file(text,bigint,bigint,boolean)", "pg_ls_dir(text,boolean,boolean)")
_ROLES = (
    ("pg_monitor", "settings and activity are seen only in part"),
    ("pg_read_all_data", "databases cannot be dumped, and row counts not be compared with the live server"),
)


@dataclass(frozen=True, slots=True)
class Rights:
    """What the observing role may do: `functions` by signature, `member_of` the predefined roles it can use."""

    role: str
    major: int
    superuser: bool
    bypass_rls: bool
    functions: frozenset[str]
    member_of: frozenset[str]
    closed_databases: tuple[str, ...]


def check_rights(rights: Rights) -> Iterator[Finding]:
    """Yield a finding for each feature that lacks a right, or one that says that nothing is missing."""
    if rights.superuser:
        yield Finding("ok", "rights", f"The role {rights.role} is a superuser: it may observe everything.")
        return
    missing = [*_functions(rights), *_roles(rights), *_files(rights), *_databases(rights)]
    yield from missing
    if not missing:
        yield Finding("ok", "rights", f"The role {rights.role} may observe everything it should.")


def check_dump_rights(rights: Rights) -> Iterator[Finding]:
    """Yield what the dumping role lacks, where it is not the observing one."""
    if not rights.superuser:
        needed = {"right-pg-read-all-data", "right-bypass-rls", "right-connect"}
        yield from (found for found in (*_roles(rights), *_databases(rights)) if found.code in needed)


def _functions(rights: Rights) -> Iterator[Finding]:
    for signature, since, consequence in _FUNCTIONS:
        if rights.major >= since and signature not in rights.functions:
            yield _missing(
                signature.partition("(")[0].replace("_", "-"),
                f"The role {rights.role} may not call {signature}: {consequence}.",
                f"GRANT EXECUTE ON FUNCTION {signature} TO {quote_ident(rights.role)};",
            )


def _roles(rights: Rights) -> Iterator[Finding]:
    for name, consequence in _ROLES:
        if name not in rights.member_of:
            yield _missing(
                name.replace("_", "-"),
                f"The role {rights.role} is not a member of {name}: {consequence}.",
                f"GRANT {name} TO {quote_ident(rights.role)};",
            )
    if not rights.bypass_rls:
        yield _missing(
            "bypass-rls",
            f"Row-level security hides rows from {rights.role}: counts would be too low, and dumps are refused.",
            f"ALTER ROLE {quote_ident(rights.role)} WITH BYPASSRLS;",
        )


def _files(rights: Rights) -> Iterator[Finding]:
    """Reading configuration files needs both: the predefined role and EXECUTE on the functions."""
    if "pg_read_server_files" in rights.member_of and rights.functions.issuperset(_READING):
        return
    role = quote_ident(rights.role)
    yield _missing(
        "read-config",
        f"The role {rights.role} cannot read configuration files through the server: from another host they are not stored.",
        f"GRANT pg_read_server_files TO {role}; GRANT EXECUTE ON FUNCTION {', '.join(_READING)} TO {role};",
    )


def _databases(rights: Rights) -> Iterator[Finding]:
    for name in rights.closed_databases:
        yield _missing(
            "connect",
            f"The role {rights.role} may not connect to {name}: it is not dumped, and its extensions are not recorded.",
            f"GRANT CONNECT ON DATABASE {quote_ident(name)} TO {quote_ident(rights.role)};",
        )


def _missing(code: str, sentence: str, fix: str) -> Finding:
    return Finding("warn", f"right-{code}", sentence, fix)
