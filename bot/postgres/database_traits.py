"""What a database has besides its contents: owner, grants, settings, limit. Read from one database, and given to another.

All of it is kept by OID, so it stays with the old database when two of them change names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from psycopg import sql

from bot.postgres.connect import Connection
from bot.postgres.maintenance import translated

QUOTED_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
"""Settings whose value is a list of quoted names: set item by item (PostgreSQL's GUC_LIST_QUOTE)."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One right; `grantee` empty is PUBLIC."""

    grantor: str
    grantee: str
    right: str
    grantable: bool


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """One ALTER DATABASE … SET, or with `role` one ALTER ROLE … IN DATABASE … SET; `value` as the catalogue has it."""

    role: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Traits:
    """A database as `pg_database` and `pg_db_role_setting` know it. `limit` -1 is none; `tablespace` is its default one."""

    oid: int
    owner: str
    limit: int
    allowed: bool
    template: bool
    comment: str | None
    grants: frozenset[Grant]
    settings: frozenset[Setting]
    tablespace: str = field(default="pg_default", compare=False)

    def differences(self, other: Traits) -> list[str]:
        """Return in sentences what `other` lacks or has otherwise; OID, comment and open doors aside."""
        said = []
        if self.owner != other.owner:
            said.append(f"Its owner is {other.owner}, not {self.owner}.")
        if self.limit != other.limit:
            said.append(f"Its connection limit is {other.limit}, not {self.limit}.")
        if self.template != other.template:
            said.append(f"It is {'a' if other.template else 'no'} template.")
        if self.grants != other.grants:
            said.append("Its grants are not the same.")
        said += [
            f"{one.name} is not set for {one.role or 'everybody'}." for one in sorted(self.settings - other.settings)
        ]
        said += [f"{one.name} is set for {one.role or 'everybody'}." for one in sorted(other.settings - self.settings)]
        return said


def read_traits(connection: Connection, database: str) -> Traits | None:
    """Return the traits of a database, or None when there is none of that name."""
    with translated():
        row = connection.execute(_DATABASE, [database]).fetchone()
        if row is None:
            return None
        oid, owner, limit, allowed, template, comment, tablespace = row
        grants = connection.execute(_GRANTS, [oid]).fetchall()
        settings = connection.execute(_SETTINGS, [oid]).fetchall()
    return Traits(
        oid=oid,
        owner=owner,
        limit=limit,
        allowed=allowed,
        template=template,
        comment=comment,
        grants=frozenset(Grant(*grant) for grant in grants),
        settings=frozenset(Setting(role, *entry.split("=", 1)) for role, entry in settings),
        tablespace=tablespace,
    )


def give_traits(connection: Connection, traits: Traits, database: str) -> list[str]:
    """Give `database` what `traits` say, in one transaction; return in sentences what could not be made the same.

    Raises:
        Usage: our role may not.
    """
    present = read_traits(connection, database)
    assert present is not None, "it was made just before"
    with translated(), connection.transaction():
        for statement in statements(traits, present, database):
            connection.execute(statement)
    after = read_traits(connection, database)
    assert after is not None
    return traits.differences(after)


def statements(traits: Traits, present: Traits, database: str) -> Iterator[sql.Composed]:
    """Return what makes `database`, which is as `present` says, like `traits`, in order. Pure."""
    name = sql.Identifier(database)
    yield sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(traits.owner))
    yield sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(name, sql.Literal(traits.limit))
    yield sql.SQL("ALTER DATABASE {} IS_TEMPLATE {}").format(name, sql.Literal(traits.template))
    yield from _settings(traits, present, name)
    grantees = {grant.grantee for grant in (*present.grants, *traits.grants)} | {"", present.owner, traits.owner}
    for grantee in sorted(grantees):
        yield sql.SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(name, _grantee(grantee))
    yield from _grants(traits, name)


def _settings(traits: Traits, present: Traits, name: sql.Identifier) -> Iterator[sql.Composed]:
    for role in sorted({setting.role for setting in present.settings}):
        yield sql.SQL("{} RESET ALL").format(_subject(role, name))
    for setting in sorted(traits.settings):
        yield sql.SQL("{} SET {} TO {}").format(
            _subject(setting.role, name), sql.Identifier(setting.name), _value(setting)
        )


def _subject(role: str, name: sql.Identifier) -> sql.Composable:
    if role:
        return sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), name)
    return sql.SQL("ALTER DATABASE {}").format(name)


def _value(setting: Setting) -> sql.Composable:
    if setting.name.lower() not in QUOTED_LISTS:
        return sql.Literal(setting.value)
    items = split_list(setting.value)
    return sql.SQL(", ").join(sql.Literal(item) for item in items) if items else sql.Literal("")


def _grants(traits: Traits, name: sql.Identifier) -> Iterator[sql.Composed]:
    """Grant in the order in which the rights were handed on: the owner's first, then those of whoever got them to grant."""
    left, able = sorted(traits.grants), {traits.owner}
    while left:
        ready = [grant for grant in left if grant.grantor in able]
        if not ready:
            return  # a grantor without the right: the comparison afterwards says so
        for grant in ready:
            if grant.grantor != traits.owner:
                yield sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(grant.grantor))
            option = sql.SQL(" WITH GRANT OPTION" if grant.grantable and grant.grantee != traits.owner else "")
            yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
                sql.SQL(grant.right),
                name,
                _grantee(grant.grantee),
                option,
            )
            if grant.grantor != traits.owner:
                yield sql.Composed([sql.SQL("RESET ROLE")])
        able |= {grant.grantee for grant in ready if grant.grantable}
        left = [grant for grant in left if grant not in ready]


def _grantee(role: str) -> sql.Composable:
    return sql.Identifier(role) if role else sql.SQL("PUBLIC")


def split_list(value: str) -> list[str]:
    """Return the items of a setting that is a list of names, as PostgreSQL stores it: quoted where needed. Pure."""
    items, rest = list[str](), value.strip()
    while rest:
        if rest.startswith('"'):
            end = 1
            while end < len(rest) and (rest[end] != '"' or rest[end : end + 2] == '""'):
                end += 2 if rest[end] == '"' else 1
            items.append(rest[1:end].replace('""', '"'))
            rest = rest[end + 1 :].lstrip()
        else:
            item, comma, after = rest.partition(",")
            items.append(item.strip())
            rest = comma + after
        rest = rest.removeprefix(",").lstrip()
    return items


_DATABASE = """
SELECT d.oid::bigint, pg_get_userbyid(d.datdba)::text, d.datconnlimit, d.datallowconn, d.datistemplate,
       shobj_description(d.oid, 'pg_database'), t.spcname::text
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = %s
"""
_GRANTS = """
SELECT pg_get_userbyid(a.grantor)::text, CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END,
       a.privilege_type, a.is_grantable
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE d.oid = %s
"""
_SETTINGS = """
SELECT CASE s.setrole WHEN 0 THEN '' ELSE pg_get_userbyid(s.setrole)::text END, unnest(s.setconfig)
FROM pg_db_role_setting s WHERE s.setdatabase = %s
"""
