"""What PostgreSQL's refusals mean for us: SQLSTATE and text to one of our errors, with the line to put right. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bot.errors import Conflict, Corruption, Failed, PitstopError, Unavailable, Usage
from bot.postgres.connect import dsn_field, quote_ident, server_place


@dataclass(frozen=True, slots=True)
class _Rule:
    sqlstate: str
    needle: str
    kind: type[PitstopError]
    code: str
    hint: str


_RULES = (
    _Rule("58P01", "", Failed, "wal-removed", "Take a new base backup: `pitstop backup base CLUSTER`."),
    _Rule("42710", "", Conflict, "slot-exists", "Is another Pitstop using the same cluster?"),
    _Rule("55006", "", Conflict, "slot-in-use", "Is another receiver running? SELECT * FROM pg_replication_slots;"),
    _Rule(
        "53400",
        "slot",
        Usage,
        "max-replication-slots",
        "ALTER SYSTEM SET max_replication_slots = 10; -- then restart the server, or drop a slot nobody uses",
    ),
    _Rule(
        "53300",
        "",
        Usage,
        "max-wal-senders",
        "ALTER SYSTEM SET max_wal_senders = 10; -- then restart the server",
    ),
    _Rule("42501", "", Usage, "not-replication", "ALTER ROLE {user} WITH LOGIN REPLICATION; -- as superuser"),
    _Rule(
        "55000",
        "wal_level",
        Usage,
        "wal-level",
        "ALTER SYSTEM SET wal_level = 'replica'; -- then restart the server",
    ),
    _Rule(
        "55000",
        "WAL level",
        Usage,
        "wal-level",
        "ALTER SYSTEM SET wal_level = 'replica'; -- then restart the server",
    ),
    _Rule("55000", "invalidated", Failed, "slot-lost", "Raise max_slot_wal_keep_size; the slot is made anew."),
    _Rule("55000", "can no longer", Failed, "slot-lost", "Raise max_slot_wal_keep_size; the slot is made anew."),
    _Rule("XX001", "", Corruption, "damaged-pages", "Which table is it? Keep the last clean backup."),
    _Rule("42601", "", Failed, "server-syntax", "Is this PostgreSQL 14 to 18?"),
    _Rule("57P01", "", Unavailable, "server-stopping", "Is the server being restarted?"),
    _Rule("57P02", "", Unavailable, "server-stopping", "Did another of its processes crash? Its log says."),
    _Rule("57P03", "", Unavailable, "server-starting", "Wait until the server accepts connections."),
)


def command_error(sqlstate: str, message: str, dsn: str) -> PitstopError:
    """Return our error for a command the server turned down; unknown ones keep the server's words."""
    place = server_place(dsn)
    for rule in _RULES:
        if rule.sqlstate == sqlstate and rule.needle in message:
            hint = rule.hint.format(user=quote_ident(dsn_field(dsn, "user") or "the role"))
            return rule.kind(f"PostgreSQL at {place} refused: {message}.", hint=hint, code=rule.code)
    return Failed(
        f"PostgreSQL at {place} refused: {message} (SQLSTATE {sqlstate}).",
        hint="Does the server's log say more?",
        code=f"postgres-{sqlstate}",
    )
